/** The process whose place this one takes, as this one sees it. */
import { GatewayError } from '../base/errors.ts'
import { settlesIn } from '../base/settles.ts'
import { closeOnExec, receiveDescriptor } from '../tcp/descriptor-channel.ts'
import { Inheritance } from '../tcp/estate.ts'
import { CarriedCancels } from '../workers/cancels.ts'
import { Line } from './line.ts'
import {
  CHANNEL_VERSION,
  DESCRIPTOR_CHANNEL,
  type Earlier,
  LINE,
  PREDECESSOR_VARIABLE,
  parseToSuccessor,
  type ToPredecessor,
  type ToSuccessor,
} from './messages.ts'

/** How long the first word may take to come: it was said before this process began. */
const BEGIN_WITHIN_MS = 10_000
/** How long the service manager may take to be told; it is a matter of one message. */
const KNOWN_WITHIN_MS = 5000
/** How long the other process may take to hear that this one cannot take over. */
const REFUSED_WITHIN_MS = 200

type Begin = ToSuccessor & { readonly kind: 'begin' }
const NOBODY: Earlier = { processes: 0, sessions: 0 }

/** Null where this process takes nobody's place. Throws UPGRADE_REFUSED. */
export async function meetPredecessor(
  env: Record<string, string | undefined>,
): Promise<Predecessor | null> {
  const pid = env[PREDECESSOR_VARIABLE]
  // Nobody whom this process starts takes the place of that one.
  delete env[PREDECESSOR_VARIABLE]
  if (pid === undefined) return null
  const voice = new Voice()
  await openLine(voice)
  const begin = await voice.begun()
  const predecessor = new Predecessor(voice, begin)
  if (begin.channel === CHANNEL_VERSION) return predecessor
  const problem = `process ${pid} (${begin.version}) hands over in a way that is not known here`
  const refusal = `${problem}; stop it and start this one`
  await predecessor.refuse(refusal)
  throw new GatewayError('UPGRADE_REFUSED', refusal)
}

async function openLine({ line }: Voice): Promise<void> {
  try {
    await line.open(LINE)
    for (const descriptor of [LINE, DESCRIPTOR_CHANNEL]) closeOnExec(descriptor)
  } catch (cause) {
    const problem = `${PREDECESSOR_VARIABLE} is set, but not by a process that is upgraded`
    const cure = 'take it out of the environment'
    throw new GatewayError('UPGRADE_REFUSED', `${problem}; ${cure}`, { cause })
  }
}

/** What is said on the line, to whoever listens by then. */
class Voice {
  readonly gone = Promise.withResolvers<void>()
  readonly line: Line
  readonly #begun = Promise.withResolvers<Begin>()
  heard: (message: ToSuccessor) => void = (message) => {
    if (message.kind === 'begin') this.#begun.resolve(message)
  }

  constructor() {
    this.line = new Line({
      heard: (heard) => this.#hear(heard),
      closed: () => this.gone.resolve(),
    })
  }

  #hear(heard: unknown): void {
    try {
      this.heard(parseToSuccessor(heard))
    } catch {
      // Of a later version, and nothing that this one could wait for.
    }
  }

  async begun(): Promise<Begin> {
    if (await settlesIn(BEGIN_WITHIN_MS, this.#begun.promise)) return await this.#begun.promise
    throw new GatewayError('UPGRADE_REFUSED', 'the process that is to be replaced says nothing')
  }
}

export class Predecessor {
  readonly pid: number
  readonly version: string
  /** Upgrades before this one. */
  readonly upgrades: number
  readonly inheritance: Inheritance
  readonly #voice: Voice
  readonly #go = Promise.withResolvers<void>()
  readonly #known = Promise.withResolvers<void>()
  readonly #cancels: CarriedCancels
  #earlier: Earlier = { processes: 1, sessions: 0 }

  constructor(voice: Voice, { pid, version, upgrades, sockets }: Begin) {
    this.#voice = voice
    this.pid = pid
    this.version = version
    this.upgrades = upgrades
    this.inheritance = new Inheritance(
      sockets.map((socket) => ({ ...socket, descriptor: receiveDescriptor(DESCRIPTOR_CHANNEL) })),
    )
    this.#cancels = new CarriedCancels((message) => {
      if (message.kind !== 'cancel') return
      const request = Buffer.from(message.request).toString('base64')
      this.#say({ ...message, request })
    })
    voice.heard = (message) => this.#hear(message)
  }

  /** Those before this process that have clients yet. */
  get earlier(): Earlier {
    return this.#voice.line.isClosed ? NOBODY : this.#earlier
  }
  /** Resolves when its last client has left and it has ended, or after so long. */
  async endsIn(timeoutMs: number): Promise<void> {
    await settlesIn(timeoutMs, this.#gone)
  }

  get #gone(): Promise<void> {
    return this.#voice.gone.promise
  }

  /** All is there but the clients: resolves when they are this process's. */
  async takeOver(version: string, adopted: readonly number[]): Promise<void> {
    this.#say({ kind: 'ready', version, adopted: [...adopted] })
    // Where it has died meanwhile nobody else is there to serve.
    await Promise.race([this.#go.promise, this.#gone])
  }

  /** Clients are accepted; resolves when the service manager knows of this process. */
  async serving(): Promise<void> {
    this.#say({ kind: 'serving' })
    await settlesIn(KNOWN_WITHIN_MS, Promise.race([this.#known.promise, this.#gone]))
  }

  /** It is to go on; resolves when it has heard so, and ends this process. */
  async refuse(problem: string): Promise<void> {
    this.#say({ kind: 'refused', problem })
    await settlesIn(REFUSED_WITHIN_MS, this.#gone)
  }

  /** Carries a CancelRequest on whose key this process does not know. */
  cancel(group: string, request: Uint8Array, done: (known: boolean) => void): void {
    if (this.#voice.line.isClosed) return done(false)
    this.#cancels.carry(group, request, () => done(true))
  }

  /** Its clients are to end, as at a stop. */
  stop(isForced: boolean): void {
    this.#say({ kind: 'stop', isForced })
  }

  #say(message: ToPredecessor): void {
    this.#voice.line.send(message)
  }

  #hear(message: ToSuccessor): void {
    switch (message.kind) {
      case 'begin':
        return
      case 'go':
        return this.#go.resolve()
      case 'known':
        return this.#known.resolve()
      case 'earlier':
        this.#earlier = message.earlier
        return
      case 'cancelled':
        return this.#cancels.ended(message.id)
    }
  }
}
