/**
 * How the processes of one gateway share its listening sockets: one holds them, and accepts
 * nothing; the others are handed them, and accept by turns.
 */
import { closeSync } from 'node:fs'
import type { SocketHandler } from 'bun'
import { type Address, addressText } from '../base/address.ts'
import { GatewayError } from '../base/errors.ts'
import { Estate, type OpenSocket } from './estate.ts'
import { adoptListening, type Listening } from './inherited.ts'
import type { ClientSide } from './tls.ts'
import type { Turns, TurnsPage } from './turns.ts'

/** A socket that is listened on. */
export interface Accepting {
  /** The port that was really taken. */
  readonly port?: number
  stop(force?: boolean): void
}

export interface Wanted {
  readonly group: string
  readonly address: Address
  readonly handlers: SocketHandler<ClientSide>
  /** Has Bun listen at the address. */
  readonly open: () => Listening<ClientSide>
}

/** What a listener asks where its gateway has more than one process. */
export interface Sharing {
  /** False in the process that only holds the sockets. */
  readonly serves: boolean
  /** True where another process has made the socket of this address already. */
  isThere(address: Address): boolean
  listen(wanted: Wanted): Accepting
  /** As `listen`, for datagrams; left out where they are for one process only. */
  readonly openDatagrams?: Estate['openDatagrams']
  /** A session has taken a place. */
  accepted(group: string): void
  ended(group: string): void
  /** Sessions of a group with all processes; null: those of this one are all. */
  sessions(group: string): number | null
  /** What of a limit is for this process. */
  share(limit: number): number
  /** Called on every beat. */
  check(): void
  /** Carries a CancelRequest to whichever other process knows its key; calls back when done. */
  cancel(group: string, request: Uint8Array, done: () => void): void
}

/** A listening socket of a group, as it is handed to another process. */
export interface HeldSocket {
  readonly group: string
  /** With the port that was really taken. */
  readonly address: Address
  readonly descriptor: number
}

/** Groups by the number under which their sessions are counted; a number stays with its group. */
export type GroupNumbers = ReadonlyMap<string, number>

const placeOf = ({ group, address }: Pick<Wanted, 'group' | 'address'>): string =>
  `servers.${group}.address: ${addressText(address)}`

/** Of the process that holds the sockets. */
export class HeldSockets implements Sharing {
  readonly serves = false
  readonly #page: () => TurnsPage
  readonly #numbers: () => GroupNumbers
  readonly #estate: Estate
  readonly #held = new Map<OpenSocket, HeldSocket>()
  /** Opened since the last time that all were handed out. */
  readonly #fresh = new Set<OpenSocket>()

  constructor(page: () => TurnsPage, numbers: () => GroupNumbers, estate = new Estate()) {
    this.#page = page
    this.#numbers = numbers
    this.#estate = estate
  }

  isThere(address: Address): boolean {
    return this.#estate.isThere(address)
  }

  listen(wanted: Wanted): Accepting {
    const { group } = wanted
    const socket = this.#estate.open(wanted)
    const { bound } = socket
    this.#held.set(socket, { group, address: bound, descriptor: withheld(socket) })
    this.#fresh.add(socket)
    return {
      ...(bound.network === 'tcp' ? { port: bound.port } : {}),
      stop: () => {
        this.#held.delete(socket)
        this.#fresh.delete(socket)
        socket.stop()
      },
    }
  }

  /** Of each group the one opened last: where an address is about to change, the next one. */
  get sockets(): readonly HeldSocket[] {
    const byGroup = new Map<string, HeldSocket>()
    for (const held of this.#held.values()) byGroup.set(held.group, held)
    return [...byGroup.values()]
  }

  /** Those of them that no other process has been given. */
  get fresh(): readonly HeldSocket[] {
    return [...this.#fresh].flatMap((socket) => this.#held.get(socket) ?? [])
  }

  /** All processes have them. */
  handedOut(): void {
    this.#fresh.clear()
  }

  sessions(group: string): number {
    const number = this.#numbers().get(group)
    return number === undefined ? 0 : this.#page().inGroup(number)
  }

  share(limit: number): number {
    return limit
  }
  accepted(): void {}
  ended(): void {}
  check(): void {}
  cancel(_group: string, _request: Uint8Array, done: () => void): void {
    done()
  }
}

function withheld(socket: OpenSocket): number {
  try {
    return socket.withhold()
  } catch (thrown) {
    socket.stop()
    throw thrown
  }
}

export interface InheritedOptions {
  readonly turns: Turns
  readonly numbers: () => GroupNumbers
  readonly share: Sharing['share']
  readonly cancel: Sharing['cancel']
}

/** Of a process that is handed the sockets. */
export class InheritedSockets implements Sharing {
  readonly serves = true
  readonly cancel: Sharing['cancel']
  readonly share: Sharing['share']
  readonly #turns: Turns
  readonly #numbers: () => GroupNumbers
  /** Handed over and not yet listened on. */
  readonly #waiting = new Map<string, number>()

  constructor({ turns, numbers, share, cancel }: InheritedOptions) {
    this.share = share
    this.#turns = turns
    this.#numbers = numbers
    this.cancel = cancel
  }

  /** A socket for a listener that is to be made, or to move. */
  handed(group: string, descriptor: number): void {
    this.#waiting.set(group, descriptor)
  }

  /** What nobody listened on is closed. */
  settled(): void {
    for (const descriptor of this.#waiting.values()) closeSync(descriptor)
    this.#waiting.clear()
  }

  isThere(): boolean {
    return true
  }

  listen(wanted: Wanted): Accepting {
    const { group, handlers } = wanted
    const place = placeOf(wanted)
    const descriptor = this.#waiting.get(group)
    if (descriptor === undefined) {
      throw new GatewayError('LISTEN_FAILED', `${place}: no socket was handed over for it`)
    }
    const shared = adoptListening(descriptor, handlers, place)
    this.#waiting.delete(group)
    this.#turns.opened(shared)
    return {
      stop: () => {
        this.#turns.closed(shared)
        shared.stop()
      },
    }
  }

  accepted(group: string): void {
    this.#turns.accepted(this.#numberOf(group))
  }
  ended(group: string): void {
    this.#turns.ended(this.#numberOf(group))
  }
  sessions(group: string): number {
    return this.#turns.inGroup(this.#numberOf(group))
  }
  check(): void {
    this.#turns.check()
  }

  #numberOf(group: string): number {
    return this.#numbers().get(group) ?? 0
  }
}
