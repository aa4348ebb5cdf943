/**
 * Takes the datagrams of one server group and keeps a session for each client address. It is told
 * and asked the same as a listener for streams, and in the same order.
 */
import { isDeepStrictEqual } from 'node:util'
import type { udp } from 'bun'
import { type Address, addressText } from '../../base/address.ts'
import { GatewayError } from '../../base/errors.ts'
import { type DatagramAccount, newDatagramAccount } from '../account.ts'
import { type Descriptors, processDescriptors } from '../descriptors.ts'
import type { Estate } from '../estate.ts'
import { SHUTTING_DOWN } from '../refusals.ts'
import type { ListenerOptions, Surroundings } from '../surroundings.ts'
import type { Tenancy } from '../tenancy.ts'
import { type DatagramClient, DatagramSession } from './datagram-session.ts'

/** How often sessions are looked at for timeouts. */
const BEAT_MS = 250

type UdpAddress = Address & { readonly network: 'udp' }
type Told = { readonly message: string }

/** One socket that clients send to, with their sessions by address and port. */
interface Door {
  readonly socket: udp.Socket<'uint8array'>
  /** With the port that was really taken. */
  readonly address: UdpAddress
  close(): void
  readonly byAddress: Map<string, Map<number, DatagramSession>>
}

export class DatagramListener {
  readonly group: string
  #options: ListenerOptions
  #around: Surroundings
  readonly #descriptors: Descriptors
  readonly #counts: DatagramAccount
  /** In which new clients are taken in; null before the start, and at the end. */
  #door: Door | null = null
  /** Opened for `start`, or for the address of a reload that is under way. */
  #opened: Door | null = null
  /** Those of earlier addresses, until their sessions have ended. */
  readonly #former = new Set<Door>()
  readonly #sessions = new Map<DatagramSession, Door>()
  readonly #forget = (session: DatagramSession): void => this.#ended(session)
  #beating: Timer | null = null
  #number = 0
  #emptied: (() => void) | null = null
  #draining: Promise<void> | null = null
  #farewell: Told = SHUTTING_DOWN

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#descriptors = options.descriptors ?? processDescriptors()
    this.group = options.group
    this.#counts = options.account.datagrams ?? newDatagramAccount()
    options.account.datagrams = this.#counts
    const { group, protocol } = options
    const instance = crypto.randomUUID().slice(0, 8)
    this.#around = {
      ...options,
      place: { instance, group, protocol: protocol.name },
      beat: { now: performance.now() },
      encryption: { clients: 'none', servers: false, unencrypted() {} },
      cancelTargets: new Map(),
    }
  }

  get sessions(): number {
    return this.#sessions.size
  }
  /** One process serves them all. */
  get sessionsEverywhere(): number {
    return this.sessions
  }
  /** Datagrams know no CancelRequest. */
  cancel(): boolean {
    return false
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
    const bound = (this.#door ?? this.#opened)?.address
    return bound === undefined ? addressText(address) : `${addressText(bound)}/udp`
  }

  /** Takes the address, for `start`. Throws LISTEN_FAILED where it cannot be taken. */
  async prepare(): Promise<void> {
    this.#opened = await this.#open(this.#options)
  }

  start(): void {
    this.#door = this.#opened
    this.#opened = null
    this.#beating = setInterval(() => this.#beat(), BEAT_MS)
  }

  /** Takes another address beside the present one, until `renew` or `abandon`; throws as above. */
  async alsoAt(other: Pick<ListenerOptions, 'address'>): Promise<void> {
    if (isDeepStrictEqual(this.#options.address, other.address)) return
    this.#opened = await this.#open(other)
  }

  abandon(): void {
    this.#opened?.close()
    this.#opened = null
  }

  /** Works by what another generation has built: sessions go over at a moment that allows it. */
  renew(options: ListenerOptions): void {
    const { place } = this.#around
    this.#around = { ...this.#around, ...options, place }
    this.#options = options
    if (this.#opened !== null) {
      this.#close(this.#door)
      this.#door = this.#opened
      this.#opened = null
    }
    for (const [session, door] of this.#sessions) {
      session.renew(this.#around)
      if (door !== this.#door) session.leave(false, 'the address of the gateway has changed')
    }
  }

  /** Ends the sessions that still use what an earlier generation has built. */
  expel(tenancy: Tenancy): void {
    for (const session of this.#sessions.keys()) session.expel(tenancy)
  }

  /** No new clients; sessions end when quiet, and by force after `timeoutMs`. Idempotent. */
  drain(timeoutMs: number, farewell: Told = SHUTTING_DOWN): Promise<void> {
    this.#draining ??= this.#drain(timeoutMs, farewell)
    return this.#draining
  }

  /**
   * Another process takes the datagrams from now on, also those of the clients that have a session
   * here; these may get answers from here for so long, and end as by `drain` then.
   */
  async leave(timeoutMs: number): Promise<void> {
    const isOver = (): boolean => this.#sessions.size === 0
    const endsAt = performance.now() + timeoutMs
    while (!isOver() && performance.now() < endsAt) await Bun.sleep(BEAT_MS)
    await this.drain(timeoutMs)
  }

  /** Ends all sessions now, without waiting for what they do. */
  force(): void {
    for (const session of this.#sessions.keys()) session.leave(true, this.#farewell.message)
  }

  async #drain(timeoutMs: number, farewell: Told): Promise<void> {
    this.#farewell = farewell
    this.abandon()
    for (const session of this.#sessions.keys()) session.leave(false, farewell.message)
    if (this.#sessions.size > 0) {
      const emptied = new Promise<void>((resolve) => {
        this.#emptied = resolve
      })
      const timer = setTimeout(() => this.force(), timeoutMs)
      await emptied
      clearTimeout(timer)
    }
    if (this.#beating !== null) clearInterval(this.#beating)
    this.#close(this.#door)
    this.#door = null
  }

  async #open({ address }: Pick<ListenerOptions, 'address'>): Promise<Door> {
    const place = `servers.${this.group}.address: cannot listen on ${addressText(address)} (udp)`
    try {
      if (address.network !== 'udp') throw new TypeError('no datagrams on other sockets')
      const byAddress: Door['byAddress'] = new Map()
      const bind = (at: { readonly hostname: string; readonly port: number }) =>
        Bun.udpSocket<'uint8array'>({
          ...at,
          binaryType: 'uint8array',
          socket: {
            data: (_socket, datagram, port, host) => this.#take(door, datagram, host, port),
            // Of one client or another; which one, nobody says.
            error: () => {},
          },
        })
      const { openDatagrams = openOwn } = this.#options.sharing ?? {}
      const opened = await openDatagrams({ group: this.group, address }, bind)
      const door: Door = { ...opened, byAddress }
      return door
    } catch (cause) {
      throw new GatewayError('LISTEN_FAILED', `${place}; is another process using it?`, { cause })
    }
  }

  /** Closed at once, or behind its last session. */
  #close(door: Door | null): void {
    if (door === null) return
    if (door.byAddress.size === 0) door.close()
    else this.#former.add(door)
  }

  #take(door: Door, datagram: Uint8Array, host: string, port: number): void {
    const known = door.byAddress.get(host)?.get(port)
    if (known === undefined && !this.#mayOpen(door)) return
    const { account } = this.#options
    account.bytesFromClient += datagram.length
    this.#counts.fromClient += 1
    const session = known ?? this.#begin(door, host, port)
    session.fromClient(datagram)
    if (known === undefined) session.open()
  }

  /** Takes a place for one session more; where there is none, the datagram is dropped. */
  #mayOpen(door: Door): boolean {
    const { dropped } = this.#counts
    if (this.#draining !== null || door !== this.#door) {
      dropped.add('draining')
      return false
    }
    if (this.#sessions.size < this.sessionsMax && this.#descriptors.takeForSession()) return true
    this.#options.account.sessionsRefused += 1
    dropped.add('refused')
    return false
  }

  #begin(door: Door, remoteAddress: string, remotePort: number): DatagramSession {
    this.#number += 1
    const { socket } = door
    const client: DatagramClient = {
      localAddress: socket.address.address,
      localPort: door.address.port,
      remoteAddress,
      remotePort,
      send: (datagram) => socket.send(datagram, remotePort, remoteAddress),
    }
    const owner = { counts: this.#counts, forget: this.#forget }
    const session = new DatagramSession(this.#number, client, this.#around, owner)
    const byPort = door.byAddress.get(remoteAddress) ?? new Map<number, DatagramSession>()
    byPort.set(remotePort, session)
    door.byAddress.set(remoteAddress, byPort)
    this.#sessions.set(session, door)
    this.#options.account.sessionsTotal += 1
    this.#options.account.sessionsOpen += 1
    return session
  }

  #beat(): void {
    const now = performance.now()
    this.#around.beat.now = now
    for (const session of this.#sessions.keys()) session.check(now)
  }

  #ended(session: DatagramSession): void {
    const door = this.#sessions.get(session)
    if (door === undefined) return
    this.#sessions.delete(session)
    const { remoteAddress, remotePort } = session.client
    const byPort = door.byAddress.get(remoteAddress)
    byPort?.delete(remotePort)
    if (byPort?.size === 0) door.byAddress.delete(remoteAddress)
    this.#descriptors.sessionEnded()
    this.#options.account.sessionsOpen -= 1
    if (this.#former.has(door) && door.byAddress.size === 0) {
      this.#former.delete(door)
      door.close()
    }
    if (this.#sessions.size === 0) this.#emptied?.()
  }
}

/** Where no other process may have the socket, or get it. */
const openOwn: Estate['openDatagrams'] = async ({ address }, bind) => {
  const socket = await bind({ hostname: address.host || '0.0.0.0', port: address.port })
  const port: unknown = Reflect.get(socket, 'port')
  const bound = typeof port === 'number' ? { ...address, port } : address
  return { socket, address: bound, close: () => socket.close() }
}
