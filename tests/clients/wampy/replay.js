// From the past into the live events, prepared by a call, since Wampy sends the options that it
// knows: URL REALM SERIALIZER; the realm keeps prefix com.example.log.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, refused, run } = require('./joined.js');

const PREPARE = 'rewamp.subscription.prepare_replay';

async function main(where) {
  const session = await join(where);
  const publisher = await join(where);
  const topic = `com.example.log.${Math.random().toString(36).slice(2)}`;
  const published = [];
  for (let n = 0; n < 6; n += 1) published.push((await publisher.publish(topic, [n])).publicationId);

  const live = await subscribed(session, 'rewamp.subscription.on_live');
  await session.call(PREPARE, [topic, { from_publication: published[2], _sequence: true }]);
  const { id, next, events } = await subscribed(session, topic);
  let previous = null;
  for (let n = 2; n < 6; n += 1) {
    const { argsList, details } = await next();
    assert.equal(argsList[0], n);
    assert.equal(details._replayed, true);
    if (previous !== null) assert.equal(details._previous, previous);
    previous = details._sequence;
  }
  const { argsList: [caughtUp, sequence] } = await live.next();
  assert.equal(caughtUp, id);
  assert.ok(sequence >= previous);
  published.push((await publisher.publish(topic, [6])).publicationId);
  const { argsList, details } = await next();
  assert.equal(argsList[0], 6);
  assert.equal(details._replayed, undefined);
  assert.equal(details._previous, previous);
  assert.equal(events.length, 0);
  await refused('wamp.error.invalid_argument', session.call(PREPARE, [topic, { lost: 1 }]));
  await refused('wamp.error.invalid_argument', session.call(PREPARE, [topic]));
  await session.disconnect();
  await publisher.disconnect();
}

run(main);
