// The connection to RabbitMQ: kept up, and made again after growing, jittered waits.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import amqp from 'amqplib';

export const EXCHANGE = 're';
const DEAD = 'dead'; // the queue that keeps what was rejected
const CONSUMER = 'steps';
const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 30_000;
const PATIENCE_MS = 60_000; // for a message that names no deadline

export class Bus {
  // Who we are in claims and answers: the same for as long as the process lives.
  worker = `${hostname()}.${process.pid}.${randomBytes(4).toString('hex')}`;

  #config;
  #queue;
  #log;
  #link = null; // { connection, channel } while there is one
  #linked = new Set(); // who waits for the next link
  #leaving = false;
  #closed = new AbortController();
  #onGrant = () => {};

  constructor(config, queue, log) {
    this.#config = config;
    this.#queue = queue;
    this.#log = log;
  }

  onGrant(listener) {
    this.#onGrant = listener;
  }

  // Consume until stop(), and stay connected until close(). Each delivery comes with the channel
  // that it has to be settled on.
  async serve(onStep) {
    for (let failures = 0; !this.#closed.signal.aborted; failures += 1) {
      try {
        const lost = await this.#linkUp(onStep);
        failures = 0;
        await lost;
        this.#log('disconnected');
      } catch (error) {
        this.#log(`no connection: ${error.message}`);
      }
      this.#link = null;
      await this.#pause(failures);
    }
  }

  // Take no more steps. What the channel holds unsettled goes to somebody else in the end.
  async stop() {
    this.#leaving = true;
    await this.#link?.channel.cancel(CONSUMER).catch(() => {});
  }

  async close() {
    this.#closed.abort();
    await this.#link?.connection.close().catch(() => {});
  }

  // Publish, and return when the broker has the message. Without connection, or when that is lost
  // before the broker says so, it is tried again until the deadline (milliseconds since 1970).
  async publish(exchange, key, content, properties, deadline) {
    await this.#send(exchange, key, Buffer.from(JSON.stringify(content)), properties, deadline);
  }

  // Ask for an attempt. The grant comes to onGrant, on the same channel.
  async claim(place, attempt, { giveBack = false } = {}) {
    const content = { attempt, worker: this.worker, ...(giveBack && { give_back: true }) };
    const replyTo = giveBack ? undefined : DIRECT_REPLY_TO;
    await this.publish('', place, content, { replyTo, messageId: attempt });
  }

  async #send(exchange, key, body, properties, deadline = Date.now() + PATIENCE_MS) {
    const options = { contentType: 'application/json', persistent: true, ...properties };
    for (;;) {
      const { channel } = this.#link ?? (await this.#nextLink(deadline));
      try {
        await confirmed(channel, exchange, key, body, options);
        return;
      } catch (error) {
        if (Date.now() >= deadline) throw error;
        await sleep(FIRST_WAIT_MS); // until the loss of the connection is known here too
      }
    }
  }

  // Keep a message that is rejected, with the reason, where an administrator finds it.
  async bury({ content, properties }, reason) {
    const headers = {
      ...properties.headers,
      'headway-reason': reason.slice(0, 1000),
      'headway-queue': this.#queue,
    };
    const { correlationId, messageId, contentType } = properties;
    await this.#send('', DEAD, content, { correlationId, messageId, contentType, headers });
  }

  // Returns, once connected, what is fulfilled when the connection is lost.
  async #linkUp(onStep) {
    const connection = await amqp.connect(...address(this.#config));
    const lost = new Promise((resolve) => connection.once('close', resolve));
    connection.on('error', (error) => this.#log(error.message)); // 'close' follows
    try {
      await makeQueue(connection, this.#queue);
      const channel = await connection.createConfirmChannel();
      channel.on('error', (error) => this.#log(error.message));
      channel.once('close', () => connection.close().catch(() => {})); // one is no use alone
      await channel.prefetch(1);
      const grants = (message) => message && this.#onGrant(message);
      await channel.consume(DIRECT_REPLY_TO, grants, { noAck: true });
      this.#link = { connection, channel };
      const steps = (message) => {
        if (message) onStep(message, channel);
        else connection.close().catch(() => {}); // the queue was deleted: begin anew
      };
      if (!this.#leaving) await channel.consume(this.#queue, steps, { consumerTag: CONSUMER });
      if (this.#closed.signal.aborted) throw new Error('closed meanwhile');
    } catch (error) {
      await connection.close().catch(() => {});
      throw error;
    }
    this.#log(`serving ${this.#queue}`);
    for (const resolve of this.#linked) resolve(this.#link);
    this.#linked.clear();
    return lost;
  }

  async #nextLink(deadline) {
    const left = Math.max(0, deadline - Date.now());
    let timer;
    let linked;
    try {
      return await new Promise((resolve, reject) => {
        linked = resolve;
        this.#linked.add(linked);
        timer = setTimeout(() => reject(new Error('no connection in time')), left);
      });
    } finally {
      clearTimeout(timer);
      this.#linked.delete(linked);
    }
  }

  async #pause(failures) {
    const most = Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS);
    const { signal } = this.#closed;
    await sleep(most * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
  }
}

function confirmed(channel, exchange, key, body, options) {
  return new Promise((resolve, reject) => {
    channel.publish(exchange, key, body, options, (error) => (error ? reject(error) : resolve()));
  });
}

// What exists is used as it is; only what does not is made. A passive declaration that fails
// closes its channel, so it has one of its own.
async function makeQueue(connection, queue) {
  const probe = await connection.createChannel();
  probe.on('error', () => {});
  try {
    await probe.checkQueue(queue);
    await probe.close();
    return;
  } catch (error) {
    if (error.code !== 404) throw error;
  }
  const maker = await connection.createChannel();
  maker.on('error', () => {});
  await maker.assertExchange(EXCHANGE, 'topic', { durable: true });
  await maker.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await maker.bindQueue(queue, EXCHANGE, queue);
  await maker.close();
}

// From mqconf.json to what amqplib's connect takes.
function address(config) {
  const where = {
    protocol: config.ssl ? 'amqps' : 'amqp',
    hostname: config.server,
    port: config.port,
    username: config.user,
    password: config.password,
    vhost: encodeURIComponent(config.vhost),
    heartbeat: config.heartbeat, // left out: what the broker proposes
  };
  const read = (file) => file && readFileSync(file);
  const tls = config.ssl && {
    minVersion: 'TLSv1.2',
    ca: read(config.cacertfile), // left out: who the system trusts
    cert: read(config.certfile),
    key: read(config.keyfile),
  };
  return [where, { timeout: 15_000, noDelay: true, ...tls }];
}
