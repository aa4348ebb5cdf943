/** Accepts clients for one server group and keeps their sessions. */
import { chmodSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type { Socket, SocketHandler } from 'bun'
import { addressText } from '../base/address.ts'
import { GatewayError } from '../base/errors.ts'
import { settlesIn } from '../base/settles.ts'
import type { Refusal } from '../hooks/verdict.ts'
import type { EncryptionTerms } from '../protocols/protocol.ts'
import { Cancellation } from './cancellation.ts'
import { type Descriptors, processDescriptors } from './descriptors.ts'
import type { Listening } from './inherited.ts'
import { noDescriptors, SHUTTING_DOWN, tooMany } from './refusals.ts'
import { Session } from './session.ts'
import type { Accepting, Sharing } from './sharing.ts'
import type { ListenerOptions, Surroundings } from './surroundings.ts'
import type { Tenancy } from './tenancy.ts'
import type { ClientSide } from './tls.ts'
import { makeWay, withMode } from './unix-socket.ts'

/** What may be another after a reload. */
type Socketed = Pick<ListenerOptions, 'address' | 'socketMode'>

/** How often sessions are looked at for timeouts. */
const BEAT_MS = 250
/** Everybody on the machine may connect, as with PostgreSQL's own sockets. */
const SOCKET_MODE = 0o777
/** Refused clients that are heard out at once; more are closed without a word. */
const REFUSING_MAX = 1000

const SHORT = 'clients are refused: this process may not open enough files for sessionsMax'

export class Listener {
  readonly group: string
  #options: ListenerOptions
  #around: Surroundings
  readonly #descriptors: Descriptors
  /** Null where this is the only process. */
  readonly #sharing: Sharing | null
  readonly #sessions = new Set<Session>()
  readonly #closed = (session: Session): void => this.#forget(session)
  /** Those of them that were over `sessionsMax`: they take no place, and are heard out. */
  readonly #refused = new Set<Session>()
  #listening: Accepting | null = null
  /** Opened for the address of a reload that is under way. */
  #opened: Accepting | null = null
  #beating: Timer | null = null
  #number = 0
  #emptied: PromiseWithResolvers<void> | null = null
  #isLeaving = false
  #draining: Promise<void> | null = null
  #farewell = SHUTTING_DOWN
  /** It was said already that there are not enough descriptors. */
  #short = false

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#descriptors = options.descriptors ?? processDescriptors()
    this.#sharing = options.sharing ?? null
    this.group = options.group
    const { group, protocol } = options
    const instance = crypto.randomUUID().slice(0, 8)
    this.#around = {
      ...options,
      place: { instance, group, protocol: protocol.name },
      beat: { now: performance.now() },
      encryption: clientEncryption(options),
      cancelTargets: new Map(),
    }
  }

  get sessions(): number {
    return this.#sessions.size
  }
  /** With all processes of the gateway. */
  get sessionsEverywhere(): number {
    return this.#sharing?.sessions(this.group) ?? this.#sessions.size
  }
  get sessionsMax(): number {
    return this.#options.sessionsMax
  }
  get protocol(): string {
    return this.#options.protocol.name
  }

  /** Where it listens, with the port that was really taken. */
  get address(): string {
    const { address } = this.#options
    const listening = this.#listening
    if (address.network === 'tcp' && listening?.port !== undefined) {
      return addressText({ ...address, port: listening.port })
    }
    return addressText(address)
  }

  /** Makes way for `start`: a Unix socket that a killed gateway left is removed. */
  prepare(): Promise<void> {
    return this.#makeWay(this.#options)
  }

  /** Throws LISTEN_FAILED where the address cannot be taken. */
  start(): void {
    const { address, socketMode = SOCKET_MODE } = this.#options
    const isThere = this.#sharing?.isThere(address) === true
    this.#listening = this.#open(this.#options)
    if (isThere && address.network === 'unix') setMode(address.path, socketMode)
    this.#options.tls?.certificates.watch()
    this.#beating = setInterval(() => this.#beat(), BEAT_MS)
  }

  /** Takes another address beside the present one, until `renew` or `abandon`; throws as above. */
  async alsoAt(other: Socketed): Promise<void> {
    if (isDeepStrictEqual(this.#options.address, other.address)) return
    await this.#makeWay(other)
    this.#opened = this.#open(other)
  }

  abandon(): void {
    this.#opened?.stop(true)
    this.#opened = null
  }

  /**
   * Works by what another generation has built: for new sessions at once, for the others at their
   * next moment that allows it. Another address must have been taken before, by `alsoAt`.
   */
  renew(options: ListenerOptions): void {
    const { place } = this.#around
    const protocol = options.protocol.name
    const same = place.protocol === protocol
    this.#around = {
      ...this.#around,
      ...options,
      place: same ? place : { ...place, protocol },
      encryption: clientEncryption(options),
    }
    this.#options.tls?.certificates.stop()
    options.tls?.certificates.watch()
    this.#options = options
    const { address, socketMode = SOCKET_MODE } = options
    if (address.network === 'unix') setMode(address.path, socketMode)
    if (this.#opened !== null) {
      this.#listening?.stop(false)
      this.#listening = this.#opened
      this.#opened = null
    }
    for (const session of this.#sessions) session.renew(this.#around)
  }

  /** Ends the sessions that still use what an earlier generation has built. */
  expel(tenancy: Tenancy): void {
    for (const session of this.#sessions) session.expel(tenancy)
  }

  async #makeWay({ address }: Socketed): Promise<void> {
    // One that is handed over is there already.
    if (this.#sharing?.isThere(address) === true) return
    if (address.network === 'unix') await makeWay(address.path, `servers.${this.group}.address`)
  }

  #open({ address, socketMode = SOCKET_MODE }: Socketed): Accepting {
    const { group } = this
    const handlers = this.#clientHandlers()
    const open = (): Listening<ClientSide> => listenAt(group, { address, socketMode }, handlers)
    return this.#sharing?.listen({ group, address, handlers, open }) ?? open()
  }

  /** Carries out what a CancelRequest asks that came to another process; false: not known here. */
  cancel(request: Uint8Array, done: () => void): boolean {
    const target = this.#around.cancelTargets.get(this.#around.protocol.cancelTarget(request))
    if (target === undefined || target.unmet) return false
    new Cancellation(target, request, this.#around, done)
    return true
  }

  /** No new clients; sessions end when idle, and by force after `timeoutMs`. Idempotent. */
  drain(timeoutMs: number, farewell = SHUTTING_DOWN): Promise<void> {
    this.#draining ??= this.#drain(timeoutMs, farewell)
    return this.#draining
  }

  /** Ends all sessions now, without waiting for what they do. */
  force(): void {
    for (const session of this.#sessions) session.drain(true, this.#farewell)
  }

  /**
   * No new clients, for another process has taken over; those that are here are told nothing and go
   * on for so long. Then they are ended, as by `drain`.
   */
  async leave(timeoutMs: number): Promise<void> {
    this.#listening?.stop(false)
    this.#isLeaving = true
    await settlesIn(timeoutMs, this.#empty())
    await this.drain(timeoutMs)
  }

  async #drain(timeoutMs: number, farewell: Refusal): Promise<void> {
    this.#listening?.stop(false)
    this.#farewell = farewell
    for (const session of this.#sessions) session.drain(false, farewell)
    const timer = setTimeout(() => this.force(), timeoutMs)
    await this.#empty()
    clearTimeout(timer)
    for (const { pool } of this.#options.pools.values()) pool.retire()
    if (this.#beating !== null) clearInterval(this.#beating)
    this.#options.tls?.certificates.stop()
  }

  /** Resolves when there is no session. */
  #empty(): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve()
    this.#emptied ??= Promise.withResolvers<void>()
    return this.#emptied.promise
  }

  #clientHandlers(): SocketHandler<ClientSide> {
    return {
      binaryType: 'uint8array',
      open: (socket) => this.#accept(socket),
      data: (socket, chunk) => socket.data.fromClient(chunk),
      drain: (socket) => socket.data.clientDrained(),
      end: (socket) => socket.data.clientEnded(),
      close: (socket) => socket.data?.clientClosed(),
      error: (socket) => socket.data?.clientClosed(),
    }
  }

  #accept(socket: Socket<ClientSide>): void {
    const { account } = this.#options
    const refusal = this.#refusal()
    if (refusal !== null && !this.#hears()) {
      account.sessionsRefused += 1
      socket.terminate()
      return
    }
    this.#number += 1
    const session = new Session(this.#number, socket, this.#around, this.#closed)
    socket.data = session
    this.#sessions.add(session)
    if (refusal !== null) this.#refused.add(session)
    else this.#sharing?.accepted(this.group)
    account.sessionsTotal += 1
    account.sessionsOpen += 1
    if (refusal !== null) account.sessionsRefused += 1
    session.open(refusal)
  }

  /** Takes a place for one session more, or tells why there is none. */
  #refusal(): Refusal | null {
    const open = this.#sharing?.sessions(this.group) ?? this.#sessions.size - this.#refused.size
    if (open >= this.sessionsMax) {
      return tooMany(this.group, this.sessionsMax)
    }
    if (this.#descriptors.takeForSession()) return null
    const refusal = noDescriptors(this.#descriptors.max)
    if (!this.#short) this.#options.log.warn({ server: this.group, hint: refusal.hint }, SHORT)
    this.#short = true
    return refusal
  }

  /** Takes a place for a client that is refused and told so, if there is one. */
  #hears(): boolean {
    return this.#refused.size < REFUSING_MAX && this.#descriptors.takeForRefused()
  }

  #beat(): void {
    const now = performance.now()
    this.#around.beat.now = now
    for (const session of this.#sessions) {
      session.check(now)
      if (this.#draining !== null) session.drain(false, this.#farewell)
    }
    for (const pool of this.#options.pools.values()) {
      pool.check(now)
      // Nobody comes any more: the process that has taken over needs them more than this one.
      if (this.#isLeaving) pool.keepAtMost(this.#sessions.size)
    }
    this.#sharing?.check()
  }

  #forget(session: Session): void {
    if (!this.#sessions.delete(session)) return
    if (this.#refused.delete(session)) this.#descriptors.refusedEnded()
    else {
      this.#descriptors.sessionEnded()
      this.#sharing?.ended(this.group)
    }
    this.#options.account.sessionsOpen -= 1
    if (this.#sessions.size === 0) this.#emptied?.resolve()
  }
}

function listenAt(
  group: string,
  { address, socketMode }: Required<Socketed>,
  handlers: SocketHandler<ClientSide>,
): Listening<ClientSide> {
  const shared = { socket: handlers, allowHalfOpen: true }
  try {
    return address.network === 'unix'
      ? withMode(socketMode, () => Bun.listen<ClientSide>({ unix: address.path, ...shared }))
      : Bun.listen<ClientSide>({
          hostname: address.host || '0.0.0.0',
          port: address.port,
          ...shared,
        })
  } catch (cause) {
    const place = `servers.${group}.address: cannot listen on ${addressText(address)}`
    throw new GatewayError('LISTEN_FAILED', `${place}; is another process using it?`, { cause })
  }
}

/** Whoever has removed the socket keeps clients away, but must not keep a reload from its end. */
function setMode(path: string, mode: number): void {
  try {
    chmodSync(path, mode)
  } catch {
    // There is nothing whose mode could be wrong.
  }
}

function clientEncryption({ tls, balancer }: ListenerOptions): EncryptionTerms {
  const servers = balancer.upstreams.some(({ encrypts }) => encrypts)
  if (tls === null) return { clients: 'none', servers, unencrypted() {} }
  const { required, account } = tls
  const unencrypted = (): void => {
    account.unencrypted += 1
  }
  return { clients: required ? 'required' : 'offered', servers, unencrypted }
}
