// Publications and calls between two sessions: URL REALM SERIALIZER.
'use strict';
const assert = require('node:assert/strict');
const { autobahn, join, subscribed, refused, run } = require('./joined.js');

const TOPIC = 'com.client.topic';
const VALUES = [0, -1, 2 ** 53 - 1, 1.5, -0.25, 'Grüße, 世界 🌍', '', null, true, false,
  [], {}, [1, [2, [3, { deep: [null] }]]], { a: { b: { c: 1 } } }];
const ACKNOWLEDGED = { acknowledge: true };

async function main(where) {
  const one = await join(where);
  const other = await join(where);
  await eventsArriveAsTheyWereSent(one, other);
  await publishersHearThemselvesOnlyOnRequest(one, other);
  await callsAreAnswered(one, other);
  await errorsComeBackToTheCaller(one, other);
  await one.end();
  await other.end();
}

async function eventsArriveAsTheyWereSent(one, other) {
  const { subscription, next, events } = await subscribed(other, TOPIC);
  const published = [];
  for (const value of VALUES) {
    const publication = await one.publish(TOPIC, [value, [value]], { key: value }, ACKNOWLEDGED);
    published.push(publication.id);
  }
  one.publish(TOPIC); // neither args nor kwargs, nor an acknowledgement
  for (const [n, value] of VALUES.entries()) {
    const { args, kwargs, details } = await next();
    assert.deepEqual(args, [value, [value]]);
    assert.deepEqual(plain(kwargs), { key: value });
    assert.equal(details.publication, published[n]);
  }
  const last = await next();
  assert.deepEqual([last.args ?? [], plain(last.kwargs ?? {})], [[], {}]);
  assert.equal(new Set(published).size, published.length, 'publication IDs repeat');
  await other.unsubscribe(subscription);
  await one.publish(TOPIC, ['unheard'], {}, ACKNOWLEDGED);
  const again = await subscribed(other, TOPIC);
  await one.publish(TOPIC, ['heard'], {}, ACKNOWLEDGED);
  assert.deepEqual((await again.next()).args, ['heard']);
  assert.deepEqual(events, [], 'an event after UNSUBSCRIBED');
  await other.unsubscribe(again.subscription);
}

async function publishersHearThemselvesOnlyOnRequest(one, other) {
  const mine = await subscribed(one, TOPIC);
  const theirs = await subscribed(other, TOPIC);
  await one.publish(TOPIC, [1], {}, ACKNOWLEDGED);
  await one.publish(TOPIC, [2], {}, { exclude_me: false, ...ACKNOWLEDGED });
  assert.deepEqual((await mine.next()).args, [2]);
  assert.deepEqual((await theirs.next()).args, [1]);
  assert.deepEqual((await theirs.next()).args, [2]);
  await one.unsubscribe(mine.subscription);
  await other.unsubscribe(theirs.subscription);
}

async function callsAreAnswered(one, other) {
  const echoing = await other.register('com.client.echo',
    (args, kwargs) => new autobahn.Result(args, kwargs));
  const adding = await other.register('com.client.add2', ([a, b]) => a + b);
  assert.equal(await one.call('com.client.add2', [2, 3]), 5);
  for (const value of VALUES) {
    const result = await one.call('com.client.echo', [value, 1], { key: value });
    assert.deepEqual(result.args, [value, 1]);
    assert.deepEqual(plain(result.kwargs), { key: value });
  }
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  const sums = await Promise.all(numbers.map((n) => one.call('com.client.add2', [n, n])));
  assert.deepEqual(sums, numbers.map((n) => 2 * n));
  await other.unregister(echoing);
  await other.unregister(adding);
  await refused('wamp.error.no_such_procedure', one.call('com.client.add2', [2, 3]));
}

async function errorsComeBackToTheCaller(one, other) {
  const fail = () => { throw new autobahn.Error('com.client.error.odd', ['reason', 7], { key: [1] }); };
  const failing = await other.register('com.client.fail', fail);
  const error = await refused('com.client.error.odd', one.call('com.client.fail'));
  assert.deepEqual([error.args, plain(error.kwargs)], [['reason', 7], { key: [1] }]);
  await refused('wamp.error.procedure_already_exists', one.register('com.client.fail', fail));
  await other.unregister(failing);
}

// Some decoders make objects without a prototype.
function plain(object) {
  return { ...object };
}

run(main);
