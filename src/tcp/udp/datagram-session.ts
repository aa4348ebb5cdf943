/**
 * What one client address sends and gets in datagrams: asked about at onOpening, given a socket of
 * its own to a server, and ended by silence, for nobody says farewell here.
 */
import { hostPort } from '../../base/address.ts'
import type { ObserverLine } from '../../hooks/observers.ts'
import type { AddressPair } from '../../hooks/step.ts'
import type { OpeningVerdict } from '../../hooks/verdict.ts'
import { causeOf, type DatagramSocket, dialDatagrams } from '../../upstream/datagrams.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import type { DatagramAccount, DatagramDrop } from '../account.ts'
import { Facts } from '../facts.ts'
import { areAlike } from '../move.ts'
import { Detours } from '../reach.ts'
import * as refusals from '../refusals.ts'
import type { Surroundings } from '../surroundings.ts'
import type { Tenancy } from '../tenancy.ts'
import { DatagramWay, type WayOwner } from './datagram-way.ts'

/** Where there is no idleTimeout a session ends nevertheless: nothing else would end it. */
export const IDLE_MS = 60_000
/** What is to leave goes when nothing has come for so long: an answer may be under way. */
const QUIET_MS = 1000

const NOBODY = { user: '', database: '', applicationName: '' }
const NO_ADDRESSES: AddressPair = { local: '', remote: '' }

/** The client: its address, and the way back to it. */
export interface DatagramClient {
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  /** False where the kernel takes no more now; throws where it never will. */
  send(datagram: Uint8Array): boolean
}

type State = 'opening' | 'running' | 'closed'

export class DatagramSession implements WayOwner {
  readonly client: DatagramClient
  readonly facts: Facts
  line: ObserverLine | null
  upstream: Upstream
  addresses: AddressPair = NO_ADDRESSES
  #around: Surroundings
  /** What another generation has built, until the session can go over to it. */
  #next: Surroundings | null = null
  readonly #counts: DatagramAccount
  readonly #forget: (session: DatagramSession) => void
  readonly #toServer: DatagramWay
  readonly #toClient: DatagramWay
  #detours: Detours | null = null
  /** A plugin has named the upstream. */
  #isRouted = false
  #socket: DatagramSocket | null = null
  #state: State = 'opening'
  #error = ''
  #isLeaving = false
  /** When something last came, from either side. */
  #spokeAt: number

  constructor(
    number: number,
    client: DatagramClient,
    around: Surroundings,
    { counts, forget }: { counts: DatagramAccount; forget: (session: DatagramSession) => void },
  ) {
    this.client = client
    this.#around = around
    this.#counts = counts
    this.#forget = forget
    around.tenancy.enter()
    this.#spokeAt = around.beat.now
    this.upstream = around.balancer.next(client)
    const sources = { client: { socket: client }, server: this, conversation: NOBODY }
    this.facts = new Facts({ number, place: around.place, ...sources })
    this.#toServer = new DatagramWay('server', around.hooks.fromClient, this)
    this.#toClient = new DatagramWay('client', around.hooks.fromServer, this)
    this.line = around.hooks.observers?.line(this.facts) ?? null
  }

  get around(): Surroundings {
    return this.#around
  }

  /** Asks the onOpening chain, then goes to a server. */
  open(): void {
    const { opening } = this.#around.hooks
    if (opening === null) return this.#reach()
    const verdict = opening(this.facts)
    if (!(verdict instanceof Promise)) return this.#opened(verdict)
    verdict.then(
      (decided) => this.#opened(decided),
      (thrown: unknown) => this.broke(thrown),
    )
  }

  #opened(verdict: OpeningVerdict): void {
    if (this.#state !== 'opening') return
    if (verdict.kind === 'deny') return this.#end(verdict.message, 'refused')
    if (verdict.kind === 'close') {
      if (verdict.bytes !== undefined) this.send(verdict.bytes, 'client')
      return this.#end('', 'refused')
    }
    if (verdict.kind === 'route') {
      const named = this.#around.balancer.named(verdict.block)
      // The chain has looked: there is one.
      if (named !== undefined) this.upstream = named
      this.#isRouted = true
    }
    this.#reach()
  }

  #reach(): void {
    const { upstream } = this
    const handlers = {
      heard: (datagram: Uint8Array): void => this.#fromServer(datagram),
      failed: (cause: string): void => this.#unreached(cause),
    }
    dialDatagrams(upstream.target, handlers).then(
      (socket) => this.#connected(socket),
      (thrown: unknown) => this.#notDialled(causeOf(thrown)),
    )
  }

  #connected(socket: DatagramSocket): void {
    if (this.#state !== 'opening') return socket.close()
    this.#socket = socket
    const { address, remoteAddress } = socket
    this.addresses = {
      local: hostPort(address.address, address.port),
      remote: hostPort(remoteAddress.address, remoteAddress.port),
    }
    this.#around.serverConnected?.(this.upstream, this.addresses)
    this.#state = 'running'
    const settled = this.line?.introduce() ?? null
    if (settled === null) return this.#start()
    settled.then(
      () => this.#start(),
      (thrown: unknown) => this.broke(thrown),
    )
  }

  #start(): void {
    this.#toClient.start()
    this.#toServer.start()
  }

  /** There is no socket to this server: the next one is tried. */
  #notDialled(cause: string): void {
    if (this.#state !== 'opening') return
    this.#failed(cause)
    this.#detours ??= new Detours(this.#around.balancer, this.client, this.#isRouted)
    const other = this.#detours.instead(this.upstream)
    if (other === null) return this.#end(refusals.unreachable(this.upstream.block).message)
    this.#around.account.failovers += 1
    this.upstream = other
    this.#reach()
  }

  /**
   * Nobody is there any more. What was sent is lost, as it may be; the next datagram of the client
   * begins another session, with a server that is there.
   */
  #unreached(cause: string): void {
    if (this.#state !== 'running') return
    this.#failed(cause)
    this.#end(refusals.unreachable(this.upstream.block).message)
  }

  #failed(cause: string): void {
    this.upstream.refused(cause)
    this.#around.account.upstreamFailures += 1
    this.#around.upstreamFailed(this.upstream, cause)
  }

  /** A datagram came from the client. */
  fromClient(datagram: Uint8Array): void {
    this.#spokeAt = this.#around.beat.now
    this.#toServer.feed(datagram)
  }

  #fromServer(datagram: Uint8Array): void {
    if (this.#state !== 'running') return
    this.#spokeAt = this.#around.beat.now
    this.#around.account.bytesFromServer += datagram.length
    this.#counts.fromServer += 1
    if (!this.upstream.health.usable) this.upstream.health.connected()
    this.#toClient.feed(datagram)
  }

  /** Sends, or drops and counts: nothing is ever kept for a kernel that takes no more. */
  send(datagram: Uint8Array, to: 'server' | 'client'): void {
    const socket = to === 'server' ? this.#socket : this.client
    if (socket === null) return
    try {
      if (!socket.send(datagram)) return this.drop('full')
    } catch {
      // Longer than this network carries, or this very socket has failed.
      return this.drop('size')
    }
    const { account } = this.#around
    if (to === 'server') {
      account.bytesToServer += datagram.length
      this.#counts.toServer += 1
    } else {
      account.bytesToClient += datagram.length
      this.#counts.toClient += 1
    }
  }

  drop(cause: DatagramDrop): void {
    this.#counts.dropped.add(cause)
  }

  /** A plugin ends it, with last words, if any. */
  close(lastWords: Uint8Array | null): void {
    if (lastWords !== null && this.#state !== 'closed') this.send(lastWords, 'client')
    this.#end('')
  }

  rested(): void {
    if (this.#next !== null) this.renew(this.#next)
  }

  broke(thrown: unknown): void {
    const { account, log } = this.#around
    account.internalErrors += 1
    log.error({ err: thrown, session: this.facts.id }, 'a session broke and was closed')
    this.#end('')
  }

  /** Called on every beat: ends what has been silent for too long. `now` in milliseconds. */
  check(now: number): void {
    const silence = now - this.#spokeAt
    if (this.#isLeaving && silence >= QUIET_MS) return this.#end(this.#error)
    const idleMs = this.#around.idleTimeoutMs || IDLE_MS
    if (silence < idleMs) return
    this.#around.account.idleTimeouts += 1
    this.#end(refusals.timedOut('nothing happened', idleMs).message)
  }

  /** Asks it to end: at the next quiet moment, or by force. */
  leave(force: boolean, error: string): void {
    this.#isLeaving = true
    this.#error = error
    if (force) this.#end(error)
  }

  /** Goes over to what another generation built, or leaves where its server is gone there. */
  renew(next: Surroundings): void {
    this.#next = next
    if (!next.balancer.upstreams.includes(this.upstream)) {
      return this.leave(false, refusals.RECONFIGURED.message)
    }
    if (this.#state !== 'running') return
    const alike = areAlike(this.#around.hooks, next.hooks)
    if (!alike && !(this.#toServer.atRest && this.#toClient.atRest)) return
    this.#next = null
    this.#toServer.rehook(next.hooks.fromClient)
    this.#toClient.rehook(next.hooks.fromServer)
    next.tenancy.enter()
    this.#around.tenancy.leave()
    this.#around = next
    this.line = next.hooks.observers?.line(this.facts, this.line) ?? null
  }

  /** Ends it where it still uses what that generation has built. */
  expel(tenancy: Tenancy): void {
    if (this.#around.tenancy !== tenancy) return
    this.#around.account.expelled += 1
    this.#end(refusals.RECONFIGURED.message)
  }

  #end(error: string, dropped: DatagramDrop = 'refused'): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#toServer.stop(dropped)
    this.#toClient.stop(dropped)
    this.#socket?.close()
    this.#socket = null
    this.line?.tell('onClosing', { error })
    this.line?.tell('onClosed', { error })
    this.#forget(this)
    this.#around.tenancy.leave()
  }
}
