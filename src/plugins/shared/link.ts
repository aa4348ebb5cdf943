/**
 * The way to the shared store: two connections, one for commands and one that listens. It connects,
 * compares, reads what is missing, and sends what plugins have changed; whatever fails ends both
 * connections, and they are made anew after a while. Nobody ever waits for it.
 */
import { RedisClient } from 'bun'
import { settlesIn } from '../../base/settles.ts'
import type { SharedCopy, Unsent } from './copy.ts'
import { Reading } from './reading.ts'
import {
  COMPARE_SCRIPT,
  channelOf,
  commandOf,
  parseTold,
  parseVersion,
  placesOf,
} from './scripts.ts'
import type { SharingSettings } from './settings.ts'

/** Changes that are on their way at once, and what they may weigh together, in bytes. */
const FLYING_MAX = 64
const FLYING_BYTES_MAX = 4 * 1_048_576
/** The wait before the second attempt to connect; it doubles with each. */
const BACKOFF_MS = 100
const BACKOFF_MS_MAX = 5000
/** The wait before a store that refuses changes is asked again. */
const REFUSED_MS = 1000
/** Comparisons within the time that data may be stale. */
const COMPARISONS = 4

export interface LinkCounts {
  /** Connections that were lost, or never came about. */
  lost: number
  /** Changes that the store has refused: it is full, or this user may not. */
  refusedThere: number
  /** Times that all data of a plugin were read. */
  readings: number
  /** What came that no gateway can have written, or is larger than a plugin may have. */
  malformed: number
}

export interface LinkOptions {
  readonly settings: SharingSettings
  readonly copies: ReadonlyMap<string, SharedCopy>
  readonly counts: LinkCounts
  /** Told of each change: data are shared, or why they are not. */
  readonly changed: (isShared: boolean, sentence: string) => void
}

/** The connection is of no use any more. */
class Lost extends Error {}

export class Link {
  readonly #options: LinkOptions
  readonly #origin = crypto.randomUUID().slice(0, 8)
  #commands: RedisClient | null = null
  #flying = 0
  #flyingBytes = 0
  #pumpDue = false
  /** Why the last change was not taken, or "". */
  #refusal = ''
  /** Runs until it is asked again. */
  #refusalTimer: Timer | null = null
  #isStopped = false
  /** Ends the present wait of the loop. */
  #hurry: () => void = () => {}
  /** Why the present connection is of no use; null while it is. */
  #lostBy: string | null = null
  #isTold: boolean | null = null
  /** On the clock of `performance.now`: when all data here were last known to be whole. */
  wholeAt = performance.now()
  readonly #first = Promise.withResolvers<void>()

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** Settles when all data have been read once. */
  get first(): Promise<void> {
    return this.#first.promise
  }

  /** True while changes go both ways. */
  get isUp(): boolean {
    return this.#isTold === true
  }

  /** Connects, again and again, until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { counts, settings } = this.#options
    for (let failures = 0; !this.#isStopped; failures++) {
      const since = performance.now()
      const cause = await this.#session().catch(causeOf)
      if (this.#isStopped) return
      counts.lost += 1
      this.#tell(false, cause)
      // One that has held for a while is tried again at once.
      if (performance.now() - since > settings.stalenessMaxMs + settings.timeoutMs) failures = 0
      const wait = Math.min(BACKOFF_MS * 2 ** failures, BACKOFF_MS_MAX)
      // Gateways that have lost it together shall not come back together.
      await this.#wait(wait * (0.5 + Math.random() / 2))
    }
  }

  /** Sends what still waits, for as long as this may take, and ends. */
  async stop(flushMs: number): Promise<void> {
    const until = performance.now() + flushMs
    while (this.isUp && this.#queued > 0 && performance.now() < until) await Bun.sleep(5)
    this.#isStopped = true
    if (this.#refusalTimer !== null) clearTimeout(this.#refusalTimer)
    this.#first.resolve()
    this.#hurry()
  }

  /** Looks at once whether anything is missing here. */
  hurry(): void {
    this.#hurry()
  }

  get #queued(): number {
    return [...this.#options.copies.values()].reduce((sum, { queued }) => sum + queued, 0)
  }

  /** One pair of connections from beginning to end; returns why it ended. */
  async #session(): Promise<string> {
    const { settings } = this.#options
    const [commands, ears] = [this.#client(), this.#client()]
    this.#lostBy = null
    try {
      await this.#within(Promise.all([commands.connect(), ears.connect()]))
      const heard = (message: string): void => this.#heard(message)
      await this.#within(ears.subscribe(channelOf(settings.prefix), heard))
      this.#commands = commands
      while (!this.#isStopped && this.#lostBy === null) {
        await this.#compare(commands)
        if (this.#refusal === '') this.#tell(true, '')
        this.#first.resolve()
        this.wake()
        await this.#wait(settings.stalenessMaxMs / COMPARISONS)
      }
      return this.#lostBy ?? ''
    } finally {
      // What was on its way is told to be lost when this is over: nobody may take it for the next.
      this.#commands = null
      commands.onclose = null
      ears.onclose = null
      commands.close()
      ears.close()
    }
  }

  #client(): RedisClient {
    const { url, timeoutMs, authorities } = this.#options.settings
    const client = new RedisClient(url, {
      connectionTimeout: timeoutMs,
      autoReconnect: false,
      enableOfflineQueue: false,
      ...(authorities === null ? {} : { tls: { ca: authorities } }),
    })
    client.onclose = () => this.#lose('it has closed the connection, or does not let us in')
    return client
  }

  #lose(cause: string): void {
    this.#lostBy ??= cause
    this.#hurry()
  }

  async #within<T>(promise: Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options.settings
    if (await settlesIn(timeoutMs, promise)) return promise
    throw new Lost(`no answer within ${timeoutMs} ms`)
  }

  /** Ends early where something has happened. */
  async #wait(ms: number): Promise<void> {
    if (this.#isStopped || (this.#lostBy !== null && this.#commands !== null)) return
    const hurried = Promise.withResolvers<void>()
    this.#hurry = hurried.resolve
    const timer = setTimeout(hurried.resolve, ms)
    await hurried.promise
    clearTimeout(timer)
    this.#hurry = () => {}
  }

  /** Asks for the version of each plugin's data, and reads those that are behind. */
  async #compare(commands: RedisClient): Promise<void> {
    const { copies, settings, counts } = this.#options
    const startedAt = performance.now()
    for (const copy of copies.values()) {
      const { version: versionKey, epoch: epochKey } = placesOf(settings.prefix, copy.plugin)
      const asked = [COMPARE_SCRIPT, '2', versionKey, epochKey]
      const at: unknown = await this.#within(commands.send('EVAL', asked))
      const [version, epoch]: readonly unknown[] = Array.isArray(at) ? at : []
      const known = { version: parseVersion(version), epoch: parseVersion(epoch) }
      if (known.version === null || known.epoch === null) {
        throw new Lost('what lies there was not written by a gateway')
      }
      if (!copy.compare(known.version, known.epoch)) continue
      counts.readings += 1
      const send = (name: string, args: readonly string[]): Promise<unknown> =>
        this.#within(commands.send(name, [...args]))
      counts.malformed += await new Reading(copy, settings.prefix, send).run(
        known.version,
        known.epoch,
      )
    }
    this.wholeAt = startedAt
  }

  #heard(message: string): void {
    const told = parseTold(message)
    if (told === null) {
      this.#options.counts.malformed += 1
      return
    }
    this.#options.copies.get(told.plugin)?.hear(told.change, told.origin === this.#origin)
  }

  /** There is something to send: so it is, when what runs now has ended. */
  wake(): void {
    if (this.#pumpDue || this.#commands === null || this.#refusalTimer !== null) return
    this.#pumpDue = true
    setImmediate(() => {
      this.#pumpDue = false
      this.#pump()
    })
  }

  #pump(): void {
    // One that refuses is asked with one change, not with many.
    const flyingMax = this.#refusal === '' ? FLYING_MAX : 1
    for (const copy of this.#options.copies.values()) {
      while (this.#flying < flyingMax && this.#flyingBytes < FLYING_BYTES_MAX) {
        if (this.#commands === null || this.#refusalTimer !== null || this.#lostBy !== null) return
        const unsent = copy.next()
        if (unsent === null) break
        this.#send(this.#commands, copy, unsent)
      }
    }
  }

  #send(commands: RedisClient, copy: SharedCopy, unsent: Unsent): void {
    const weight = unsent.kept?.value.length ?? 0
    const { prefix } = this.#options.settings
    const { plugin } = copy
    this.#flying += 1
    this.#flyingBytes += weight
    const landed = (): void => {
      this.#flying -= 1
      this.#flyingBytes -= weight
    }
    const args = commandOf(unsent, { prefix, plugin, origin: this.#origin })
    commands.send('EVAL', [...args]).then(
      (reply: unknown) => {
        landed()
        this.#refusal = ''
        const version = parseVersion(reply)
        if (version !== null) return copy.sent(unsent, version)
        copy.unsent(unsent)
        this.#lose('it has given an answer that cannot be its')
      },
      (thrown: unknown) => {
        landed()
        copy.unsent(unsent)
        const refusal = refusalOf(thrown)
        if (refusal !== null) this.#refused(refusal)
        else if (commands === this.#commands) this.#lose('the connection was lost')
      },
    )
  }

  /** The store lives, but takes no changes: it is asked again in a while. */
  #refused(refusal: string): void {
    this.#options.counts.refusedThere += 1
    if (this.#refusalTimer !== null) return
    this.#refusal = refusal
    this.#tell(false, refusal === 'OOM' ? 'it is full (OOM)' : `it refuses changes (${refusal})`)
    this.#refusalTimer = setTimeout(() => {
      this.#refusalTimer = null
      this.wake()
    }, REFUSED_MS)
  }

  #tell(isShared: boolean, sentence: string): void {
    if (this.#isTold === isShared) return
    this.#isTold = isShared
    this.#options.changed(isShared, sentence)
  }
}

/** The first word of what Redis refuses with; the rest may quote what was sent. */
function refusalOf(thrown: unknown): string | null {
  if (!(thrown instanceof Error) || !('code' in thrown)) return null
  if (thrown.code !== 'ERR_REDIS_SERVER_ERROR') return null
  return /^[A-Z]+/.exec(thrown.message)?.[0] ?? 'ERR'
}

function causeOf(thrown: unknown): string {
  if (thrown instanceof Lost) return thrown.message
  const refusal = refusalOf(thrown)
  return refusal === null ? 'it cannot be reached, or does not let us in' : `it says ${refusal}`
}
