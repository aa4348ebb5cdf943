/** One database to which sessions go, and how a connection to it is made. */
import type { Socket, SocketHandler } from 'bun'
import { type Address, addressText } from '../base/address.ts'
import { probeDatagrams } from './datagrams.ts'
import { EncryptedDial } from './encrypted-dial.ts'
import type { Encryption } from './encryption.ts'
import { Health, type Watching } from './health.ts'
import { type Probed, probe, type Question } from './probe.ts'
import { ServerRole, type WantedRole } from './roles.ts'

export interface UpstreamOptions {
  readonly group: string
  readonly block: string
  readonly address: Address
  /** 0: none. */
  readonly dialTimeoutMs: number
  /** Attempts after the first. */
  readonly retries: number
  readonly backoffMs: number
  readonly backoffMultiplier: number
  readonly disableBackoffCaps: boolean
  readonly tcpKeepAliveMs: number | null
  /** How long a connection is waited for once it is there; left out: as long as it takes. */
  readonly patience?: ServerPatience
  /** How it is probed; left out: not at all. */
  readonly probing?: Probing
  /** Left out: no TLS. */
  readonly encryption?: Encryption | null
  /** What the database must be to get sessions; left out: it does not matter. */
  readonly role?: WantedRole
}

export interface Probing extends Omit<Watching, 'probe' | 'found'> {
  readonly question: Question | null
  /** Asks more than a question that anybody may ask, in its stead; bounded in time as a probe. */
  readonly inquiry?: Inquiry | null
}

export type Inquiry = (
  upstream: Upstream,
  timeoutMs: number,
  aborted: AbortSignal,
) => Promise<Probed>

/** A probe gets the time of a dial, and this at most. */
const PROBE_TIMEOUT_MS_MAX = 5000
/** A dial that takes longer is reason for a probe: a host that is gone does not refuse. */
const SLOW_DIAL_MS = 1000

/** How often it is looked whether there is another upstream while an attempt is waited for. */
const LOOK_MS = 250

/** Caps of the wait between attempts, as GatewayD documents them. */
const BACKOFF_MS_MAX = 60_000
const BACKOFF_MULTIPLIER_MAX = 10

/** Limits of a connection to a server, in milliseconds; 0: none. */
export interface ServerPatience {
  /** Longest life, from its start. */
  readonly receiveDeadlineMs: number
  /** Longest wait for bytes while the server owes a reply. */
  readonly receiveTimeoutMs: number
  /** Longest wait for bytes to be taken. */
  readonly sendDeadlineMs: number
}

export type Dialled<Owner> =
  | { readonly kind: 'connected'; readonly socket: Socket<Owner> }
  | { readonly kind: 'failed'; readonly cause: string }

export class Upstream {
  readonly group: string
  readonly block: string
  readonly address: string
  /** Idle time before TCP probes, in milliseconds; null: none are sent. */
  readonly keepAliveMs: number | null
  readonly patience: ServerPatience | null
  /** Connections are encrypted, or are where the database can. */
  readonly encrypts: boolean
  readonly health: Health
  /** What it is to be, and what is known of that. */
  readonly role: ServerRole
  /** Failed attempts to connect for sessions. */
  failures = 0
  /** Sessions that are here now, or on their way. */
  sessions = 0
  /** Sessions and transactions that a plugin has sent here from another block. */
  routed = 0
  readonly #options: UpstreamOptions

  constructor(options: UpstreamOptions) {
    this.#options = options
    this.group = options.group
    this.block = options.block
    this.address = addressText(options.address)
    this.keepAliveMs = options.tcpKeepAliveMs
    this.patience = options.patience ?? null
    this.encrypts = (options.encryption ?? null) !== null
    this.health = new Health(options.retries + 1)
    this.role = new ServerRole(options.role ?? 'any')
  }

  /** Where it is, for who speaks to it in datagrams. */
  get target(): Address {
    return this.#options.address
  }

  /** A session in datagrams has found that nobody is there. */
  refused(cause: string): void {
    this.failures += 1
    this.health.attemptFailed(cause)
  }

  get reachable(): boolean | null {
    return this.health.reachable
  }
  get lastError(): string {
    return this.health.lastError
  }

  /** Begins to probe it, where that is configured, until `stop`; or goes on in another way. */
  watch(probing = this.#options.probing): void {
    const { address, dialTimeoutMs } = this.#options
    if (probing === undefined) return
    const { question, inquiry = null, ...watching } = probing
    const timeoutMs = Math.min(dialTimeoutMs || PROBE_TIMEOUT_MS_MAX, PROBE_TIMEOUT_MS_MAX)
    const asked = { address, timeoutMs, question }
    const ask = address.network === 'udp' ? probeDatagrams : probe
    this.health.watch({
      ...watching,
      found: () => this.role.settle(),
      probe: (aborted) =>
        inquiry === null ? ask(asked, aborted) : inquiry(this, timeoutMs, aborted),
    })
  }

  /** True while new sessions may go to it: it is up, and what its block is for. */
  get ready(): boolean {
    return this.role.fits && this.health.usable
  }

  /** Something makes doubtful that it still is what it was: a probe finds out. */
  doubtRole(): void {
    if (this.role.wanted !== 'any') this.health.recheck()
  }

  /** Ends the probes; idempotent. Settles when the one under way has ended, which is soon. */
  stop(): Promise<void> {
    return this.health.stop()
  }

  /**
   * Connects, with the attempts that are configured. `wanted` ends them early, and so does
   * `elsewhere`, which tells that another upstream is ready: then nobody waits for this one.
   */
  async dial<Owner>(
    handlers: SocketHandler<Owner>,
    owner: Owner,
    wanted: () => boolean,
    elsewhere: () => boolean = () => false,
  ): Promise<Dialled<Owner>> {
    for (let attempt = 0; ; attempt++) {
      const dialled = await this.#unlessElsewhere(this.#attempt(handlers, owner), elsewhere)
      if (dialled.kind === 'connected') {
        this.health.connected()
        const { keepAliveMs } = this
        if (keepAliveMs !== null) dialled.socket.setKeepAlive(true, keepAliveMs)
        return dialled
      }
      this.failures += 1
      if (attempt >= this.#options.retries) {
        this.health.dialFailed(dialled.cause)
        return dialled
      }
      this.health.attemptFailed(dialled.cause)
      if (!wanted() || elsewhere()) return dialled
      await unless(() => !wanted() || elsewhere(), Bun.sleep(this.#wait(attempt)))
      if (!wanted() || elsewhere()) return dialled
    }
  }

  #wait(attempt: number): number {
    const { backoffMs, backoffMultiplier, disableBackoffCaps } = this.#options
    if (disableBackoffCaps) return backoffMs * backoffMultiplier ** attempt
    const multiplier = Math.min(backoffMultiplier, BACKOFF_MULTIPLIER_MAX)
    return Math.min(backoffMs * multiplier ** attempt, BACKOFF_MS_MAX)
  }

  /** An attempt is given up where probes fail too while another upstream is ready. */
  async #unlessElsewhere<Owner>(
    attempt: Promise<Dialled<Owner>>,
    elsewhere: () => boolean,
  ): Promise<Dialled<Owner>> {
    let timer: Timer | undefined
    const givenUp = new Promise<null>((resolve) => {
      timer = setInterval(() => {
        this.health.doubt()
        if (!this.health.usable && elsewhere()) resolve(null)
      }, SLOW_DIAL_MS)
    })
    const first = await Promise.race([attempt, givenUp])
    clearInterval(timer)
    if (first !== null) return first
    dropLate(attempt)
    return { kind: 'failed', cause: this.health.lastError }
  }

  async #attempt<Owner>(handlers: SocketHandler<Owner>, owner: Owner): Promise<Dialled<Owner>> {
    const { dialTimeoutMs, encryption = null } = this.#options
    const plain = (): Promise<Dialled<Owner>> =>
      this.#connect(handlers, owner).then((socket) => ({ kind: 'connected', socket }))
    let outcome: Promise<Dialled<Owner>>
    let abandon = (): void => {}
    if (encryption === null) outcome = plain()
    else {
      const connect = (first: SocketHandler<Owner>) => this.#connect(first, owner)
      const dial = new EncryptedDial(encryption, connect, handlers, owner)
      abandon = () => dial.abandon()
      outcome = dial.run().then((dialled) => {
        return dialled.kind === 'failed' && encryption.optional ? plain() : dialled
      })
    }
    const settled = outcome.catch(
      (thrown): Dialled<Owner> => ({ kind: 'failed', cause: causeOf(thrown) }),
    )
    return dialTimeoutMs === 0 ? await settled : await this.#within(settled, dialTimeoutMs, abandon)
  }

  #connect<Owner>(handlers: SocketHandler<Owner>, owner: Owner): Promise<Socket<Owner>> {
    const { address } = this.#options
    const shared = { socket: handlers, data: owner, allowHalfOpen: true }
    if (address.network === 'unix') return Bun.connect<Owner>({ unix: address.path, ...shared })
    const hostname = address.host || '127.0.0.1'
    return Bun.connect<Owner>({ hostname, port: address.port, ...shared })
  }

  async #within<Owner>(
    outcome: Promise<Dialled<Owner>>,
    timeoutMs: number,
    abandon: () => void,
  ): Promise<Dialled<Owner>> {
    let timer: Timer | undefined
    const late = new Promise<Dialled<Owner>>((resolve) => {
      const cause = `no connection within ${timeoutMs} ms`
      timer = setTimeout(() => resolve({ kind: 'failed', cause }), timeoutMs)
    })
    const first = await Promise.race([outcome, late])
    clearTimeout(timer)
    if (first.kind === 'failed') {
      dropLate(outcome)
      abandon()
    }
    return first
  }
}

/** Waits, but no longer than until it `isOver`, which is looked at now and then. */
async function unless(isOver: () => boolean, wait: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setInterval(() => isOver() && resolve(), LOOK_MS)
  await Promise.race([wait, promise])
  clearInterval(timer)
}

/** A connection that is made after all belongs to nobody. */
function dropLate<Owner>(outcome: Promise<Dialled<Owner>>): void {
  void outcome.then((after) => after.kind === 'connected' && after.socket.terminate())
}

function causeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.message
}
