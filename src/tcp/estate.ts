/**
 * The listening sockets of one gateway over upgrades: those that the process before has handed to
 * this one, and all that this one may hand to the next.
 */
import { closeSync, lstatSync, unlinkSync } from 'node:fs'
import { type Address, addressText } from '../base/address.ts'
import {
  adoptInto,
  type Listening,
  openedServer,
  passingAddress,
  type SharedOptions,
  type SharedSocket,
  type Stoppable,
  shareListening,
} from './inherited.ts'
import type { Wanted } from './sharing.ts'
import type { ClientSide } from './tls.ts'

/** A socket as one process hands it to another. */
export interface HandedSocket {
  /** As the configuration asked for it. */
  readonly asked: Address
  /** With the port that was really taken. */
  readonly bound: Address
  readonly descriptor: number
}

/** Where a server of Bun's is to listen. */
export type ServerPlace =
  | { readonly hostname: string; readonly port: number }
  | { readonly unix: string }

/** A server of Bun's that listens. */
export interface OpenServer<Server> {
  readonly server: Server
  /** With the port that was really taken. */
  readonly address: Address & { readonly network: 'tcp' }
  /** True once another process accepts in place of this one. */
  readonly isHandedOn: boolean
  /** To be called when the server is stopped. */
  forget(): void
}

type Tcp = Address & { readonly network: 'tcp' }
type Udp = Address & { readonly network: 'udp' }
/** Where a socket is bound that is given another in its place. */
const ANYWHERE = { hostname: '127.0.0.1', port: 0 }

interface DatagramSocket {
  close(): void
}

/** A socket of Bun's that takes datagrams. */
export interface OpenDatagrams<Socket> {
  readonly socket: Socket
  /** With the port that was really taken. */
  readonly address: Udp
  /** Idempotent; where another process takes them, its own can still send until this one ends. */
  close(): void
}

/** What this process was handed and nothing has listened on yet. */
export class Inheritance {
  readonly #sockets: readonly HandedSocket[]
  readonly #adopted = new Set<HandedSocket>()

  constructor(sockets: readonly HandedSocket[] = []) {
    this.#sockets = sockets
  }

  /** The places, in the order in which they came, of those that are listened on. */
  get adopted(): readonly number[] {
    return [...this.#sockets.keys()].filter((at) => this.#adopted.has(this.#sockets[at]!))
  }

  has(address: Address): boolean {
    return this.#find(address) !== undefined
  }

  take(address: Address): HandedSocket | null {
    const found = this.#find(address)
    if (found !== undefined) this.#adopted.add(found)
    return found ?? null
  }

  /** Nothing is taken any more. */
  settle(): void {
    for (const socket of this.#sockets) {
      if (this.#adopted.has(socket)) continue
      this.#adopted.add(socket)
      closeSync(socket.descriptor)
    }
  }

  #find(address: Address): HandedSocket | undefined {
    const left = this.#sockets.filter((socket) => !this.#adopted.has(socket))
    return (
      left.find(({ asked }) => isSame(asked, address)) ??
      left.find(({ bound }) => isSame(bound, address))
    )
  }
}

function isSame(one: Address, other: Address): boolean {
  if (one.network === 'unix') return other.network === 'unix' && one.path === other.path
  if (other.network === 'unix' || one.network !== other.network) return false
  return one.port === other.port && hostOf(one) === hostOf(other)
}

function hostOf({ host }: { readonly host: string }): string {
  return host === '' ? '0.0.0.0' : host
}

interface Of extends SharedOptions {
  readonly forget: (socket: OpenSocket) => void
  /** False while another process listens at the same path. */
  readonly isOwner: () => boolean
}

/** One socket of this process. */
export class OpenSocket<Bound extends Stoppable = Stoppable> {
  readonly listening: Bound
  readonly asked: Address
  readonly bound: Address
  readonly #options: SharedOptions
  readonly #forget: Of['forget']
  readonly #isOwner: Of['isOwner']
  #shared: SharedSocket<Bound> | null
  /** The file of a Unix socket that another process has made; "": there is none. */
  readonly #file: string
  #isWithheld = false
  #isHandedOn = false
  #isStopped = false

  constructor(
    { asked, bound }: Pick<HandedSocket, 'asked' | 'bound'>,
    opened: { readonly listening: Bound; readonly shared: SharedSocket<Bound> | null },
    { forget, isOwner, ...options }: Of,
  ) {
    this.asked = asked
    this.bound = bound
    this.listening = opened.listening
    this.#shared = opened.shared
    this.#options = options
    this.#forget = forget
    this.#isOwner = isOwner
    const isFile = bound.network === 'unix' && opened.shared !== null
    this.#file = isFile ? fileAt(bound.path) : ''
  }

  get isHandedOn(): boolean {
    return this.#isHandedOn
  }

  get isWithheld(): boolean {
    return this.#isWithheld
  }

  /** Only held for others to accept from. Throws LISTEN_FAILED. */
  withhold(): number {
    this.#isWithheld = true
    const shared = this.share()
    shared.pause()
    return shared.descriptor
  }

  /** Made when it is first wanted: most gateways are never upgraded. Throws LISTEN_FAILED. */
  share(): SharedSocket<Bound> {
    this.#shared ??= shareListening(this.listening, this.#options)
    return this.#shared
  }

  /** Another process accepts from it from now on, and its path stays. */
  handOn(): void {
    this.#isHandedOn = true
    this.share().pause()
  }

  /** Idempotent. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#forget(this)
    // Bun would remove the path of one that it made; the end of the process closes it.
    if (this.#isHandedOn) return
    if (this.#shared === null) this.listening.stop(false)
    else this.#shared.stop()
    const { bound } = this
    if (bound.network !== 'unix' || this.#file === '') return
    if (this.#isOwner()) removeFile(bound.path, this.#file)
  }
}

/** The one file, whatever its name is worth by then. */
function fileAt(path: string): string {
  const file = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return file === undefined ? '' : `${file.dev}:${file.ino}`
}

function removeFile(path: string, file: string): void {
  if (fileAt(path) !== file) return
  try {
    unlinkSync(path)
  } catch {
    // Whoever has removed it, it is gone.
  }
}

/** All sockets that this process listens on. */
export class Estate {
  readonly #inheritance: Inheritance
  readonly #sockets = new Set<OpenSocket>()
  readonly #forget = (socket: OpenSocket): void => void this.#sockets.delete(socket)
  #isAdmitted: boolean

  /** `inheritance`: nothing is accepted until `admit`; left out: there was no process before. */
  constructor(inheritance?: Inheritance) {
    this.#inheritance = inheritance ?? new Inheritance()
    this.#isAdmitted = inheritance === undefined
  }

  get isAdmitted(): boolean {
    return this.#isAdmitted
  }

  /** True where a socket for the address was handed over and waits to be listened on. */
  isThere(address: Address): boolean {
    return this.#inheritance.has(address)
  }

  /** Listens for clients; nothing is accepted before `admit`. Throws LISTEN_FAILED. */
  open(wanted: Wanted): OpenSocket<Listening<ClientSide>> {
    const { address, handlers, group } = wanted
    const place = placeOf(group, address)
    const handed = this.#inheritance.take(address)
    const listening = handed === null ? wanted.open() : listenAnywhere(handlers)
    const shared = handed && adopted(listening, handed, { place })
    const bound = handed?.bound ?? boundOf(address, listening)
    return this.#keep({ asked: address, bound }, { listening, shared }, { place })
  }

  /** Has a server of Bun's listen, in the same way. */
  openServer<Server extends Stoppable>(
    address: Tcp,
    serve: (place: ServerPlace) => Server,
    place: string,
  ): OpenServer<Server> {
    const handed = this.#inheritance.take(address)
    const { port } = address
    const at = handed === null ? { hostname: hostOf(address), port } : { unix: passingAddress() }
    const { server, listening } = openedServer(() => serve(at))
    const shared = handed && adopted(listening, handed, { place })
    const bound = handed?.bound ?? boundOf(address, server)
    const socket = this.#keep({ asked: address, bound }, { listening, shared }, { place })
    return {
      server,
      address: bound.network === 'tcp' ? bound : address,
      get isHandedOn() {
        return socket.isHandedOn
      },
      forget: () => socket.stop(),
    }
  }

  /** Has a socket of Bun's take datagrams, in the same way. */
  async openDatagrams<Socket extends DatagramSocket>(
    { group, address }: { readonly group: string; readonly address: Udp },
    bind: (place: { readonly hostname: string; readonly port: number }) => Promise<Socket>,
  ): Promise<OpenDatagrams<Socket>> {
    const options = { place: placeOf(group, address), isDatagrams: true }
    const handed = this.#inheritance.take(address)
    const { port } = address
    const socket = await bind(handed ? ANYWHERE : { hostname: hostOf(address), port })
    const listening = {
      get fd(): unknown {
        return Reflect.get(socket, 'fd')
      },
      stop: () => socket.close(),
    }
    const shared = handed && adopted(listening, handed, options)
    const bound = handed?.bound ?? boundOf(address, socket)
    const kept = this.#keep({ asked: address, bound }, { listening, shared }, options)
    return { socket, address: bound.network === 'udp' ? bound : address, close: () => kept.stop() }
  }

  #keep<Bound extends Stoppable>(
    addresses: Pick<HandedSocket, 'asked' | 'bound'>,
    opened: { readonly listening: Bound; readonly shared: SharedSocket<Bound> | null },
    options: SharedOptions,
  ): OpenSocket<Bound> {
    const isOwner = (): boolean => this.#isAdmitted
    const socket = new OpenSocket(addresses, opened, { ...options, forget: this.#forget, isOwner })
    this.#sockets.add(socket)
    if (!this.#isAdmitted) socket.share().pause()
    return socket
  }

  /** What nobody listened on is not ours to keep open. */
  settle(): readonly number[] {
    const { adopted } = this.#inheritance
    this.#inheritance.settle()
    return adopted
  }

  /** This process is the one that serves: it accepts, and the paths of its sockets are its own. */
  admit(): void {
    this.#isAdmitted = true
    for (const socket of this.#sockets) if (!socket.isWithheld) socket.share().resume()
  }

  /** All sockets, to be handed to another process. Throws LISTEN_FAILED where that cannot be. */
  offer(): readonly OfferedSocket[] {
    return [...this.#sockets].map((socket) => {
      const { asked, bound } = socket
      return { asked, bound, descriptor: socket.share().descriptor, socket }
    })
  }
}

/** A socket that is being handed over. */
export interface OfferedSocket extends HandedSocket {
  readonly socket: OpenSocket
}

function listenAnywhere(socket: Wanted['handlers']): Listening<ClientSide> {
  return Bun.listen<ClientSide>({ unix: passingAddress(), socket, allowHalfOpen: true })
}

/** Every client wakes this process: the one before may be woken too, and leave. */
function adopted<Bound extends Stoppable>(
  listening: Bound,
  { descriptor }: HandedSocket,
  options: SharedOptions,
): SharedSocket<Bound> {
  return adoptInto(listening, descriptor, options)
}

function placeOf(group: string, address: Address): string {
  return `servers.${group}.address: ${addressText(address)}`
}

function boundOf(address: Address, listening: object): Address {
  const port: unknown = Reflect.get(listening, 'port')
  return address.network !== 'unix' && typeof port === 'number' ? { ...address, port } : address
}
