/**
 * Listening sockets that several processes share. Bun cannot listen on a descriptor, so a listener
 * of its own is made and given the other socket in place of its own: in its descriptor and in the
 * epoll instance that watches it. From then on Bun accepts from it as from any other. In the same
 * way a listener is given a rest, so that what comes is left to the other processes.
 */
import { ptr } from 'bun:ffi'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { SocketHandler, TCPSocketListener, UnixSocketListener } from 'bun'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { type SystemCalls, systemCalls } from '../base/system-calls.ts'

export type Listening<Data> = TCPSocketListener<Data> | UnixSocketListener<Data>

// Numbers of the Linux kernel, the same on every processor that Bun runs on.
const F_GETFL = 3
const F_SETFL = 4
const F_DUPFD_CLOEXEC = 1030
const O_NONBLOCK = 0o4000
const O_CLOEXEC = 0o2000000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
/** Of several processes that sleep, one is woken for a client: there is no work for more. */
const EPOLLEXCLUSIVE = 1 << 28
const SOL_SOCKET = 1
const SO_TYPE = 3
const SO_ACCEPTCONN = 30
const SOCK_DGRAM = 2
const POLLIN = 1
/** Below it are the standard streams, which `fcntl` shall not fill. */
const DESCRIPTOR_MIN = 3

/** What Bun listens with: a listener of ours, or a server of its own. */
export interface Stoppable {
  stop(force?: boolean): unknown
}

/** A listening socket that this process holds, which it may accept from or not. */
export interface SharedSocket<Bound extends Stoppable> {
  /** Bun's listener; its address is not that of the socket where that was inherited. */
  readonly listening: Bound
  /** The listening socket, to be handed to other processes; theirs stay open when this closes. */
  readonly descriptor: number
  readonly isPaused: boolean
  /** Accepts no more, also where several wait and one was just accepted. Idempotent. */
  pause(): void
  /** Accepts again, what waits already first. Idempotent. */
  resume(): void
  /** Has the kernel look once more whether somebody waits: it may have told another process. */
  look(): void
  /** True where a client waits to be accepted. */
  hasWaiting(): boolean
  /**
   * This process holds it no more; the others go on. A path of its own that Bun listened at is
   * removed, one that was inherited stays. Idempotent.
   */
  stop(): void
}

export interface SharedOptions {
  /** Names it in errors. */
  readonly place: string
  /** Nothing is accepted from it: paused, it hears nothing, and can send still. */
  readonly isDatagrams?: boolean
}

export type SharedListening<Data> = SharedSocket<Listening<Data>>

/**
 * Listens on a socket that another process opened, which has it as `descriptor` here; that is
 * closed, for the listener has a copy. `place` names it in errors. Throws LISTEN_FAILED.
 */
export function adoptListening<Data>(
  descriptor: number,
  socket: SocketHandler<Data>,
  place: string,
): SharedListening<Data> {
  const unix = passingAddress()
  const listening = Bun.listen<Data>({ unix, socket, allowHalfOpen: true })
  return adoptInto(listening, descriptor, { place, isExclusive: true })
}

/** An address that is no file and no port; nobody can know it, and it is gone in a moment. */
export function passingAddress(): string {
  return `\0postern-${crypto.randomUUID()}`
}

/**
 * Gives one that Bun listens with the socket in place of its own; `isExclusive`: of several such
 * processes a client wakes one, which must look after those that another was woken for in vain.
 */
export function adoptInto<Bound extends Stoppable>(
  listening: Bound,
  descriptor: number,
  options: SharedOptions & { readonly isExclusive?: boolean },
): SharedSocket<Bound> {
  try {
    const { place, isExclusive = false } = options
    const calls = library(place)
    refuseOthers(descriptor, options)
    const flags = calls.fcntl(descriptor, F_GETFL, 0)
    calls.fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
    const shared = new Shared(listening, descriptor, options)
    if (isExclusive) shared.exclusive()
    shared.pause()
    shared.resume()
    closeSync(descriptor)
    return shared
  } catch (thrown) {
    listening.stop(true)
    throw thrown
  }
}

/**
 * Takes a listener that Bun has just made out of its loop, so that other processes accept from its
 * socket, and this one only once it is resumed. Throws LISTEN_FAILED where the system cannot.
 */
export function withholdListening<Bound extends Stoppable>(
  listening: Bound,
  place: string,
): SharedSocket<Bound> {
  const shared = new Shared(listening, descriptorOf(listening, place), { place })
  shared.pause()
  return shared
}

/** A listener that accepts already and may be paused. Throws LISTEN_FAILED as above. */
export function shareListening<Bound extends Stoppable>(
  listening: Bound,
  options: SharedOptions,
): SharedSocket<Bound> {
  return new Shared(listening, descriptorOf(listening, options.place), options)
}

/** As `shareListening` wants it, of a server of Bun's: that does not tell its descriptor. */
export interface OpenedServer<Server> {
  readonly server: Server
  readonly listening: Stoppable & { readonly fd: number | null }
}

/**
 * Runs `serve`, and notices which descriptors it opens: which of them is listened on is looked at
 * when it is asked for. The server is to be stopped by whoever has it.
 */
export function openedServer<Server>(serve: () => Server): OpenedServer<Server> {
  const before = socketsHere()
  const server = serve()
  const opened = socketsHere().filter((descriptor) => !before.includes(descriptor))
  const listening = {
    get fd() {
      return opened.find(isListening) ?? null
    },
    stop: () => undefined,
  }
  return { server, listening }
}

function socketsHere(): readonly number[] {
  try {
    return readdirSync('/proc/self/fd')
      .filter((name) => linkOf(name).startsWith('socket:'))
      .map(Number)
  } catch {
    return []
  }
}

class Shared<Bound extends Stoppable> implements SharedSocket<Bound> {
  readonly listening: Bound
  readonly descriptor: number
  readonly #place: string
  /** The descriptor that Bun accepts from. */
  readonly #seat: number
  /** What is there while nothing shall be accepted: no socket at all, so that accepting fails. */
  readonly #nothing: number
  readonly #watch: Watch
  readonly #isDatagrams: boolean
  #isPaused = false
  #isStopped = false

  constructor(listening: Bound, source: number, { place, isDatagrams = false }: SharedOptions) {
    this.listening = listening
    this.#place = place
    this.#isDatagrams = isDatagrams
    this.#seat = descriptorOf(listening, place)
    this.#watch = watchOf(this.#seat, place)
    const calls = library(place)
    this.descriptor = this.#checked(calls.fcntl(source, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN))
    this.#nothing = openSync('/dev/null', 'r')
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  pause(): void {
    if (this.#isPaused || this.#isStopped) return
    const calls = library(this.#place)
    const { epoll, event } = this.#watch
    // Before the exchange: the kernel knows what it watches by descriptor and socket together.
    this.#checked(calls.epoll_ctl(epoll, EPOLL_CTL_DEL, this.#seat, ptr(event)))
    if (!this.#isDatagrams) this.#checked(calls.dup3(this.#nothing, this.#seat, O_CLOEXEC))
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused || this.#isStopped) return
    const calls = library(this.#place)
    const { epoll, event } = this.#watch
    this.#checked(calls.dup3(this.descriptor, this.#seat, O_CLOEXEC))
    this.#checked(calls.epoll_ctl(epoll, EPOLL_CTL_ADD, this.#seat, ptr(event)))
    this.#isPaused = false
  }

  look(): void {
    this.pause()
    this.resume()
  }

  /** From its next resumption on, clients wake this process or another, and not all of them. */
  exclusive(): void {
    const events = new DataView(this.#watch.event.buffer)
    events.setUint32(0, (events.getUint32(0, true) | EPOLLEXCLUSIVE) >>> 0, true)
  }

  hasWaiting(): boolean {
    if (this.#isStopped) return false
    const asked = new DataView(new ArrayBuffer(8))
    asked.setInt32(0, this.descriptor, true)
    asked.setInt16(4, POLLIN, true)
    const bytes = new Uint8Array(asked.buffer)
    return library(this.#place).poll(ptr(bytes), 1, 0) === 1
  }

  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.listening.stop(false)
    closeSync(this.descriptor)
    closeSync(this.#nothing)
  }

  #checked(result: number): number {
    return result < 0 ? refuse(this.#place, 'the system refuses to share its socket') : result
  }
}

/** How the loop of this process watches a descriptor. */
interface Watch {
  readonly epoll: number
  /** The kernel's `epoll_event`, with the word by which Bun knows what it belongs to. */
  readonly event: Uint8Array
}

function watchOf(descriptor: number, place: string): Watch {
  for (const name of readdirSync('/proc/self/fd')) {
    if (!isEpoll(name)) continue
    const facts = readFileSync(`/proc/self/fdinfo/${name}`, 'utf8')
    const line = new RegExp(
      `^tfd:\\s*${descriptor} events:\\s*([0-9a-f]+) data:\\s*([0-9a-f]+)`,
      'm',
    )
    const [, events, word] = line.exec(facts) ?? []
    if (events === undefined || word === undefined) continue
    return { epoll: Number(name), event: eventOf(Number.parseInt(events, 16), BigInt(`0x${word}`)) }
  }
  return refuse(place, 'nothing in /proc/self/fdinfo says what watches it')
}

/** Without a gap between its two parts on x86-64, with one elsewhere. */
function eventOf(events: number, word: bigint): Uint8Array {
  const at = process.arch === 'x64' ? 4 : 8
  const event = new DataView(new ArrayBuffer(at + 8))
  event.setUint32(0, events >>> 0, true)
  event.setBigUint64(at, word, true)
  return new Uint8Array(event.buffer)
}

function isEpoll(name: string): boolean {
  return linkOf(name) === 'anon_inode:[eventpoll]'
}

/** What a descriptor is of; "" where it is closed already, as the one that read the folder. */
function linkOf(name: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${name}`)
  } catch {
    return ''
  }
}

/** Bun has it on every listener, though its types do not tell. */
function descriptorOf(listening: Stoppable, place: string): number {
  const descriptor: unknown = Reflect.get(listening, 'fd')
  if (typeof descriptor === 'number' && descriptor >= 0) return descriptor
  return refuse(place, 'Bun does not tell its descriptor')
}

function refuseOthers(descriptor: number, { place, isDatagrams = false }: SharedOptions): void {
  if (isDatagrams ? isOfDatagrams(descriptor) : isListening(descriptor)) return
  refuse(place, `descriptor ${descriptor} is no listening socket`)
}

function isListening(descriptor: number): boolean {
  return optionOf(descriptor, SO_ACCEPTCONN) === 1
}

function isOfDatagrams(descriptor: number): boolean {
  return optionOf(descriptor, SO_TYPE) === SOCK_DGRAM
}

/** Null where it is no socket. */
function optionOf(descriptor: number, option: number): number | null {
  const answer = new Int32Array(1)
  const size = new Int32Array([answer.byteLength])
  const { getsockopt } = systemCalls()
  const asked = getsockopt(descriptor, SOL_SOCKET, option, ptr(answer), ptr(size))
  return asked === 0 ? (answer[0] ?? null) : null
}

function library(place: string): SystemCalls {
  try {
    return systemCalls()
  } catch (thrown) {
    return refuse(place, sentenceOf(thrown))
  }
}

function refuse(place: string, problem: string): never {
  const consequence = 'so that its listening socket cannot be shared between processes'
  throw new GatewayError('LISTEN_FAILED', `${place}: ${problem}, ${consequence}`)
}
