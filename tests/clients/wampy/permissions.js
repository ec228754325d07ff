// What the role of Crossbar's event-history page may do, and nothing more: URL REALM SERIALIZER.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, refused, run } = require('./joined.js');

const TOPIC = 'com.example.oncounter';
const DENIED = 'wamp.error.not_authorized';

async function main(where) {
  const session = await join(where);
  const other = await join(where);
  const { id, next } = await subscribed(other, TOPIC);
  const { publicationId } = await session.publish(TOPIC, ['allowed']);
  const event = await next();
  assert.deepEqual(event.argsList, ['allowed']);
  assert.equal(event.details.publisher, session.getSessionId());
  const { argsList: [history] } = await session.call('wamp.subscription.get_events', [id, 20]);
  assert.deepEqual([history[0].publication, history[0].args[0]], [publicationId, 'allowed']);

  await refused(DENIED, session.publish('com.example.other'));
  await refused(DENIED, session.subscribe('com.example.other', () => {}));
  await refused(DENIED, session.call('wamp.subscription.lookup', [TOPIC]));
  await refused(DENIED, session.register('com.example.procedure', () => {}));
  await session.disconnect();
  await other.disconnect();
}

run(main);
