// The code of Crossbar's event-history page, as it stands there, and the specification's keywords.
// history.js URL REALM SERIALIZER [crossbar]; the realm keeps exact com.example.oncounter.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, refused, run } = require('./joined.js');

const TOPIC = 'com.example.oncounter';
const GET_EVENTS = 'wamp.subscription.get_events';

async function main(where, router) {
  const session = await join(where);
  const other = await join(where);
  const { subscription } = await subscribed(other, TOPIC);
  const published = [];
  for (let n = 0; n < 25; n += 1) {
    published.push((await session.publish(TOPIC, [n], {}, { acknowledge: true })).id);
  }
  const found = await session.call('wamp.subscription.lookup', [TOPIC]);
  assert.equal(found, subscription.id);
  await thePagesCode(session, found, published, router);
  const ids = async (...args) => (await session.call(GET_EVENTS, ...args)).map((e) => e.publication);
  assert.deepEqual(await ids([found]), published.slice(-10).reverse());
  assert.deepEqual(await ids([found, 0]), []);
  assert.deepEqual(await ids([found, 1]), published.slice(-1));
  if (router !== 'crossbar') await keywords(session, found, published, ids);
  await session.end();
  await other.end();
}

async function thePagesCode(session, subcriptionID, published, router) {
  const said = [];
  const console = { log: (...words) => said.push(words) };
  await session.call('wamp.subscription.get_events', [subcriptionID, 20]).then(
    function (history) {
      console.log("got history for " + history.length + " events");
      for (var i = 0; i < history.length; ++i) {
        console.log(history[i].timestamp, history[i].publication, history[i].args[0]);
      }
    },
    function (err) {
      console.log("could not retrieve event history", err);
    }
  );
  assert.deepEqual(said[0], ['got history for 20 events'], `said ${said}`);
  for (const [i, [timestamp, publication, first]] of said.slice(1).entries()) {
    if (router !== 'crossbar') assert.ok(Date.parse(timestamp) > Date.parse('2025-01-01'), timestamp);
    assert.equal(publication, published[24 - i]);
    assert.equal(first, 24 - i);
  }
}

async function keywords(session, subscription, published, ids) {
  const since = published[19];
  assert.deepEqual(await ids([subscription], { after_publication: since }), published.slice(20));
  assert.deepEqual(await ids([subscription], { from_publication: since, limit: 2 }),
    published.slice(19, 21));
  assert.deepEqual(await ids([subscription], { reverse: true, limit: 3 }),
    published.slice(-3).reverse());
  const [event] = await session.call(GET_EVENTS, [subscription], { from_publication: since, limit: 1 });
  for (const key of ['timestamp', 'time_ns', 'subscription', 'publication', 'sequence', 'topic',
    'details', 'args', 'kwargs', 'realm']) assert.ok(key in event, `no ${key}`);
  assert.deepEqual(await ids([subscription], { after_time: event.timestamp }), published.slice(20));
  await refused('wamp.error.no_such_subscription', session.call(GET_EVENTS, [12345, 10]));
  await refused('wamp.error.invalid_argument', session.call(GET_EVENTS, [subscription], { limit: 'x' }));
  await refused('rewamp.error.no_such_publication',
    session.call(GET_EVENTS, [subscription], { after_publication: 1 }));
}

run(main);
