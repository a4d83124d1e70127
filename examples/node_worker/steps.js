// A step, from its delivery to its end:
//
//   understood   its body is a step message, for a subcommand that there is, with what that needs
//   granted      its attempt was claimed, if the message asks for that
//   worked on    started, the subcommand, completed or failed
//   settled      once: acknowledged, or kept in the queue `dead` with the reason and rejected

import { EXCHANGE } from './bus.js';

const ASK_AGAIN_MS = 30_000; // a claim that nobody answered
const REMEMBERED = 10_000; // attempts begun here: a second delivery of one is not begun again
const LIMIT_BYTES = 1 << 20;

export class Steps {
  #bus;
  #work;
  #log;
  #turn = Promise.resolve(); // one step after another
  #asking = new Map(); // by attempt, who waits for its grant
  #begun = new Set();
  #stopping = false;

  constructor(bus, work, log) {
    this.#bus = bus;
    this.#work = work;
    this.#log = log;
    bus.onGrant((message) => this.#granted(message));
  }

  take(message, channel) {
    const step = new Step(message, channel);
    this.#turn = this.#turn
      .then(() => this.#handle(step))
      .catch((error) => {
        this.#log(`${step.run} could not be ended: ${error.stack}`);
        step.settle((channel, message) => channel.nack(message, false, false));
      });
  }

  // Begin nothing new; returns when the step in hand has ended.
  async stop() {
    this.#stopping = true;
    for (const answer of this.#asking.values()) answer(null);
    await this.#turn;
  }

  async #handle(step) {
    if (this.#stopping) return; // unsettled, it goes to somebody else
    let subcommand;
    try {
      step.body = parsed(step.message.content);
      subcommand = chosen(step.body, this.#work);
    } catch (error) {
      await this.#refuse(step, error.message);
      return;
    }
    if (step.claims && !(await this.#ask(step))) return;
    await this.#carryOut(step, subcommand);
    // What was claimed is settled already. Without claims, a worker that dies leaves the step to
    // somebody else, who begins it anew.
    step.settle((channel, message) => channel.ack(message));
  }

  async #carryOut(step, subcommand) {
    await this.#answer(step, { status: 'started' });
    try {
      const data = await subcommand.run({
        parameters: step.body.parameters,
        dynamic: step.body.dynamic ?? {},
        output: this.#output(step),
        notify: (phase, slug, text) => this.#notify(step, phase, slug, text),
      });
      await this.#answer(step, { status: 'completed', ...(data !== undefined && { data }) });
    } catch (error) {
      this.#log(`${step.run} failed: ${error.stack}`);
      await this.#answer(step, { status: 'failed', data: error.message });
    }
  }

  async #refuse(step, reason) {
    this.#log(`${step.run} refused: ${reason}`);
    await this.#answer(step, { status: 'failed', data: reason });
    await this.#bus.bury(step.message, reason);
    step.settle((channel, message) => channel.nack(message, false, false));
  }

  // Claims

  // Whether the step is ours to work on. It is settled here: whoever grants has the record.
  async #ask(step) {
    const grant = await this.#grantOf(step);
    if (grant === null) {
      await this.#bus.claim(step.claims, step.attempt, { giveBack: true });
      step.settle((channel, message) => channel.nack(message, false, true));
      return false;
    }
    const ours = grant.granted && !this.#begun.has(step.attempt);
    if (ours) {
      this.#begun.add(step.attempt);
      if (this.#begun.size > REMEMBERED) this.#begun.delete(this.#begun.values().next().value);
    } else {
      this.#log(`${step.attempt} is not ours: ${grant.reason || 'it was begun here before'}`);
    }
    step.settle((channel, message) => channel.ack(message));
    return ours;
  }

  // The grant, asked for until it comes; null when we are to stop.
  async #grantOf(step) {
    let grant;
    while (grant === undefined && !this.#stopping) {
      const answered = new Promise((resolve) => this.#asking.set(step.attempt, resolve));
      await this.#bus.claim(step.claims, step.attempt);
      const timer = setTimeout(() => this.#asking.get(step.attempt)?.(undefined), ASK_AGAIN_MS);
      grant = await answered;
      clearTimeout(timer);
    }
    this.#asking.delete(step.attempt);
    return grant ?? null;
  }

  #granted(message) {
    const grant = JSON.parse(message.content.toString());
    if (grant.worker === this.#bus.worker) this.#asking.get(grant.attempt)?.(grant);
  }

  // What is sent for a step

  async #answer(step, content) {
    if (!step.replyTo) return;
    const headers = { 'headway-worker': this.#bus.worker };
    if (content.status !== 'started') headers['headway-notices'] = step.notices;
    const properties = { ...step.properties, messageId: step.attempt, headers };
    await this.#bus.publish('', step.replyTo, content, properties, step.deadline);
  }

  #output(step) {
    const say = (level) => (text) =>
      this.#bus.publish(EXCHANGE, 'output', { message: String(text), level }, step.properties);
    return { debug: say('debug'), info: say('info'), warning: say('warning'), error: say('error') };
  }

  // Tell those whom the step names for this phase, on each transport that it names.
  async #notify(step, phase, slug, text) {
    for (const [transport, target] of Object.entries(step.body.notify?.[phase] ?? {})) {
      const content = { slug: slug.slice(0, 80), message: text, phase, target };
      await this.#bus.publish(EXCHANGE, `notify.${transport}`, content, step.properties);
      step.notices.push(`${phase}.${transport}`);
    }
  }
}

class Step {
  body = null;
  notices = [];
  #settled = false;
  #channel;

  constructor(message, channel) {
    this.message = message;
    this.#channel = channel;
    const { correlationId, replyTo, messageId, headers = {} } = message.properties;
    this.run = correlationId;
    this.replyTo = replyTo === 'log' ? undefined : replyTo; // nobody listens there
    this.attempt = messageId;
    this.claims = messageId && headers['headway-claims'];
    const until = headers['headway-deadline']; // microseconds
    this.deadline = until ? Number(until) / 1000 : undefined;
    this.properties = { correlationId, replyTo: 'log', appId: 'kettleworker' };
  }

  // Once. A channel that has gone took the delivery along: it comes again, to us or to others.
  settle(how) {
    if (this.#settled) return;
    this.#settled = true;
    try {
      how(this.#channel, this.message);
    } catch {
      // the channel is closed
    }
  }
}

function parsed(content) {
  if (content.length > LIMIT_BYTES) throw new Error(`the message has ${content.length} bytes`);
  const body = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  if (!isObject(body) || !isObject(body.parameters)) {
    throw new Error('the message is no step: it has no parameters');
  }
  return body;
}

function chosen(body, work) {
  const name = body.parameters.subcommand;
  if (!Object.hasOwn(work.subcommands, String(name))) {
    throw new Error(`${work.command} has no subcommand ${name}`);
  }
  const subcommand = work.subcommands[name];
  const missing = (subcommand.dynamic ?? []).filter((key) => !(key in (body.dynamic ?? {})));
  if (missing.length) throw new Error(`the dynamic values ${missing.join(', ')} are missing`);
  return subcommand;
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
