// From the past into the live events, with the options that Autobahn|JS sends as they are:
// replay.js URL REALM SERIALIZER; the realm keeps prefix com.example.log.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, refused, run } = require('./joined.js');

async function main(where) {
  const session = await join(where);
  const publisher = await join(where);
  const topic = `com.example.log.${Math.random().toString(36).slice(2)}`;
  const publish = async (n) => (
    await publisher.publish(topic, [n], {}, { acknowledge: true })).id;
  const published = [];
  for (let n = 0; n < 10; n += 1) published.push(await publish(n));

  const live = await subscribed(session, 'rewamp.subscription.on_live');
  const { subscription, next, events } = await subscribed(session, topic,
    { _replay: { after_publication: published[3] }, _sequence: true });
  let previous;
  for (let n = 4; n < 10; n += 1) {
    const { args, details } = await next();
    assert.equal(args[0], n);
    assert.equal(details.publication, published[n]);
    previous = details;
  }
  const { args: [caughtUp, sequence] } = await live.next();
  assert.equal(caughtUp, subscription.id);
  assert.ok(sequence > 0);
  await publish(10);
  assert.equal((await next()).args[0], 10);
  assert.equal(events.length, 0);
  assert.equal(previous.publication, published[9]);
  await session.unsubscribe(subscription);

  // Where a client stopped, by sequence; and what is not there.
  const again = await subscribed(session, topic, { _replay: { last: 2 } });
  assert.deepEqual([(await again.next()).args[0], (await again.next()).args[0]], [9, 10]);
  await refused('rewamp.error.already_subscribed',
    session.subscribe(topic, () => {}, { _replay: { last: 2 } }));
  await refused('rewamp.error.no_such_publication',
    publisher.subscribe(topic, () => {}, { _replay: { after_publication: 1 } }));
  await refused('wamp.error.history_unavailable',
    publisher.subscribe('org.unkept', () => {}, { _replay: { last: 1 } }));
  await refused('wamp.error.invalid_argument',
    publisher.subscribe(topic, () => {}, { _replay: { lost: 1 } }));
  await session.end();
  await publisher.end();
}

run(main);
