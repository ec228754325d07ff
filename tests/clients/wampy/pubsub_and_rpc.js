// Publications and calls between two sessions: URL REALM SERIALIZER.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, refused, run } = require('./joined.js');

const TOPIC = 'com.client.topic';
const VALUES = [0, -1, 2 ** 31, 1.5, -0.25, 'Grüße, 世界 🌍', '', null, true, false,
  [], {}, [1, [2, [3, { deep: [null] }]]], { a: { b: { c: 1 } } }];

async function main(where) {
  const one = await join(where);
  const other = await join(where);
  await eventsArriveAsTheyWereSent(one, other);
  await callsAreAnswered(one, other);
  await errorsComeBackToTheCaller(one, other);
  await one.disconnect();
  await other.disconnect();
}

async function eventsArriveAsTheyWereSent(one, other) {
  const { key, next, events } = await subscribed(other, TOPIC);
  const mine = await subscribed(one, TOPIC);
  const published = new Set();
  for (const value of VALUES) {
    const payload = { argsList: [value, [value]], argsDict: { key: value } };
    published.add((await one.publish(TOPIC, payload)).publicationId);
  }
  await one.publish(TOPIC); // neither args nor kwargs
  for (const value of VALUES) {
    const { argsList, argsDict } = await next();
    assert.deepEqual(argsList, [value, [value]]);
    assert.deepEqual(argsDict, { key: value });
  }
  const last = await next();
  assert.deepEqual([last.argsList ?? [], last.argsDict ?? {}], [[], {}]);
  assert.equal(published.size, VALUES.length, 'publication IDs repeat');
  assert.deepEqual(mine.events, [], 'a publisher heard itself');
  await other.unsubscribe(key);
  await one.publish(TOPIC, ['unheard']);
  const again = await subscribed(other, TOPIC);
  await one.publish(TOPIC, ['heard']);
  assert.deepEqual((await again.next()).argsList, ['heard']);
  assert.deepEqual(events, [], 'an event after UNSUBSCRIBED');
}

async function callsAreAnswered(one, other) {
  await other.register('com.client.echo', ({ argsList, argsDict }) => ({ argsList, argsDict }));
  await other.register('com.client.add2', ({ argsList: [a, b] }) => a + b);
  assert.deepEqual((await one.call('com.client.add2', [2, 3])).argsList, [5]);
  for (const value of VALUES) {
    const payload = { argsList: [value, 1], argsDict: { key: value } };
    const { argsList, argsDict } = await one.call('com.client.echo', payload);
    assert.deepEqual({ argsList, argsDict }, payload);
  }
  // From 1 on: a result of 0 is no result to Wampy.
  const numbers = Array.from({ length: 200 }, (_, n) => n + 1);
  const sums = await Promise.all(numbers.map((n) => one.call('com.client.add2', [n, n])));
  assert.deepEqual(sums.map(({ argsList: [sum] }) => sum), numbers.map((n) => 2 * n));
  await other.unregister('com.client.echo');
  await other.unregister('com.client.add2');
  await refused('wamp.error.no_such_procedure', one.call('com.client.add2', [2, 3]));
}

async function errorsComeBackToTheCaller(one, other) {
  const fail = () => {
    throw { error: 'com.client.error.odd', argsList: ['reason', 7], argsDict: { key: [1] } };
  };
  await other.register('com.client.fail', fail);
  const error = await refused('com.client.error.odd', one.call('com.client.fail'));
  assert.deepEqual([error.argsList, error.argsDict], [['reason', 7], { key: [1] }]);
  await refused('wamp.error.procedure_already_exists', one.register('com.client.fail', fail));
  await other.unregister('com.client.fail');
}

run(main);
