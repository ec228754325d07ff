// Who gets in, and how those who do not are answered: URL REALM SERIALIZER.
// The node knows the accounts of tests/foreign_clients.rs.
'use strict';
const assert = require('node:assert/strict');
const { pathToFileURL } = require('node:url');
const { join, refused, run } = require('./joined.js');

const ticket = (authid, secret) => ({
  authmethods: ['ticket'], authid, onChallenge: () => secret,
});

async function main(where) {
  // Wampy's helper is an ES module with a top-level await: it can only be imported, and by file.
  const { sign } = await import(pathToFileURL(require.resolve('wampy/wampcra.js')));
  const wampcra = (authid, secret) => ({
    authmethods: ['wampcra'], authid, onChallenge: sign(secret),
  });
  const comesIn = async (login, authmethod, authid, authrole) => {
    const session = await join(where, login);
    const { details } = session;
    assert.deepEqual([details.authmethod, details.authrole], [authmethod, authrole]);
    if (authid) assert.equal(details.authid, authid);
    await session.disconnect();
  };
  const staysOut = (login) => refused('wamp.error.not_authorized', join(where, login));

  await comesIn({}, 'anonymous', null, 'anonymous');
  await comesIn(ticket('joe', 'secret!!!'), 'ticket', 'joe', 'user');
  await comesIn(wampcra('peter', 'secret1'), 'wampcra', 'peter', 'user');
  await comesIn(wampcra('salty', 'secret2'), 'wampcra', 'salty', 'user');
  await staysOut(ticket('joe', 'wrong'));
  await staysOut(wampcra('peter', 'wrong'));
  await staysOut(wampcra('salty', 'wrong'));
  await staysOut(wampcra('nobody', 'wrong'));
  const [url, , serializer] = where;
  await refused('wamp.error.no_such_realm', join([url, 'no.such.realm', serializer]));
}

run(main);
