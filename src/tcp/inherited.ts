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
const SO_ACCEPTCONN = 30
const POLLIN = 1
/** Below it are the standard streams, which `fcntl` shall not fill. */
const DESCRIPTOR_MIN = 3

/** A listening socket that this process holds, which it may accept from or not. */
export interface SharedListening<Data> {
  /** Bun's listener; its address is not that of the socket where that was inherited. */
  readonly listening: Listening<Data>
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

/**
 * Listens on a socket that another process opened, which has it as `descriptor` here; that is
 * closed, for the listener has a copy. `place` names it in errors. Throws LISTEN_FAILED.
 */
export function adoptListening<Data>(
  descriptor: number,
  socket: SocketHandler<Data>,
  place: string,
): SharedListening<Data> {
  const calls = library(place)
  refuseOthers(descriptor, place)
  const flags = calls.fcntl(descriptor, F_GETFL, 0)
  calls.fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
  // An address that is no file and no port; nobody can know it, and it is gone in a moment.
  const unix = `\0postern-${crypto.randomUUID()}`
  const listening = Bun.listen<Data>({ unix, socket, allowHalfOpen: true })
  try {
    const shared = new Shared(listening, descriptor, place)
    shared.exclusive()
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
export function withholdListening<Data>(
  listening: Listening<Data>,
  place: string,
): SharedListening<Data> {
  const shared = new Shared(listening, descriptorOf(listening, place), place)
  shared.pause()
  return shared
}

/** A listener that accepts already and may be paused. Throws LISTEN_FAILED as above. */
export function shareListening<Data>(
  listening: Listening<Data>,
  place: string,
): SharedListening<Data> {
  return new Shared(listening, descriptorOf(listening, place), place)
}

class Shared<Data> implements SharedListening<Data> {
  readonly listening: Listening<Data>
  readonly descriptor: number
  readonly #place: string
  /** The descriptor that Bun accepts from. */
  readonly #seat: number
  /** What is there while nothing shall be accepted: no socket at all, so that accepting fails. */
  readonly #nothing: number
  readonly #watch: Watch
  #isPaused = false
  #isStopped = false

  constructor(listening: Listening<Data>, source: number, place: string) {
    this.listening = listening
    this.#place = place
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
    this.#checked(calls.dup3(this.#nothing, this.#seat, O_CLOEXEC))
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
  try {
    return readlinkSync(`/proc/self/fd/${name}`) === 'anon_inode:[eventpoll]'
  } catch {
    // The descriptor by which the folder was read is gone already.
    return false
  }
}

/** Bun has it on every listener, though its types do not tell. */
function descriptorOf(listening: Listening<never> | Listening<unknown>, place: string): number {
  const descriptor: unknown = Reflect.get(listening, 'fd')
  if (typeof descriptor === 'number' && descriptor >= 0) return descriptor
  return refuse(place, 'Bun does not tell its descriptor')
}

function refuseOthers(descriptor: number, place: string): void {
  const answer = new Int32Array(1)
  const size = new Int32Array([answer.byteLength])
  const calls = library(place)
  const asked = calls.getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, ptr(answer), ptr(size))
  if (asked === 0 && answer[0] === 1) return
  refuse(place, `descriptor ${descriptor} is no listening socket`)
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
