// Asks for the newest events of a topic, whether or not anybody was there when they came.
const autobahn = require('autobahn');

const url = process.argv[2] || 'ws://127.0.0.1:8080/ws';
const connection = new autobahn.Connection({ url, realm: 'realm1' });

connection.onopen = async (session) => {
  const subscription = await session.call('wamp.subscription.lookup', ['com.example.oncounter']);
  const history = await session.call('wamp.subscription.get_events', [subscription, 10]);
  for (const event of history) {
    console.log(event.timestamp, event.publication, event.args);
  }
  connection.close();
};
connection.open();
