// The past of a topic, asked for in Crossbar's way and in the specification's:
// URL REALM SERIALIZER; the realm keeps exact com.example.oncounter.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, refused, run } = require('./joined.js');

const TOPIC = 'com.example.oncounter';
const GET_EVENTS = 'wamp.subscription.get_events';

async function main(where, router) {
  const session = await join(where);
  const other = await join(where);
  const { id } = await subscribed(other, TOPIC);
  const published = [];
  for (let n = 0; n < 25; n += 1) published.push((await session.publish(TOPIC, [n])).publicationId);

  // The events are one list: the only positional argument, and no keywords beside it.
  const ask = async (payload) => {
    const { argsList, argsDict } = await session.call(GET_EVENTS, payload);
    assert.equal(argsList.length, 1);
    assert.ok(!argsDict || Object.keys(argsDict).length === 0, JSON.stringify(argsDict));
    return argsList[0];
  };
  const ids = async (argsList, argsDict) => (
    await ask(argsDict ? { argsList, argsDict } : argsList)).map((event) => event.publication);

  const lookup = await session.call('wamp.subscription.lookup', [TOPIC]);
  assert.deepEqual(lookup.argsList, [id]);
  const history = await ask([id, 20]);
  assert.equal(history.length, 20);
  for (const [n, event] of history.entries()) {
    assert.equal(event.publication, published[24 - n]);
    assert.equal(event.args[0], 24 - n);
    if (router !== 'crossbar') assert.ok(Date.parse(event.timestamp) > Date.parse('2025-01-01'));
  }
  assert.deepEqual(await ids([id]), published.slice(-10).reverse());
  assert.deepEqual(await ids([id, 0]), []);
  if (router !== 'crossbar') await keywords(session, id, published, ids);
  await session.disconnect();
  await other.disconnect();
}

async function keywords(session, id, published, ids) {
  const since = published[19];
  assert.deepEqual(await ids([id], { after_publication: since }), published.slice(20));
  assert.deepEqual(await ids([id], { from_publication: since, limit: 2 }), published.slice(19, 21));
  assert.deepEqual(await ids([id], { reverse: true, limit: 3 }), published.slice(-3).reverse());
  // A keyword that is there and undefined is a keyword that is not there.
  assert.deepEqual(await ids([id], { after_publication: since, limit: undefined, topic: undefined }),
    published.slice(20));
  await refused('wamp.error.no_such_subscription', session.call(GET_EVENTS, [12345, 10]));
  await refused('wamp.error.invalid_argument',
    session.call(GET_EVENTS, { argsList: [id], argsDict: { from_time: 'yesterday' } }));
}

run(main);
