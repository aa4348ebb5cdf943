/**
 * One client connection from accept to close: asked about at onOpening, given a server connection,
 * two pumps, and an orderly end.
 */
import type { Socket } from 'bun'
import { addressesOf } from '../base/address.ts'
import type { ObserverLine } from '../hooks/observers.ts'
import type { AddressPair, SessionFacts } from '../hooks/step.ts'
import type { OpeningVerdict, Refusal } from '../hooks/verdict.ts'
import type { Conversation } from '../protocols/protocol.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Account } from './account.ts'
import { Outlet } from './outlet.ts'
import { type DirectionHooks, Pump, type PumpOwner } from './pump.ts'
import { reach } from './reach.ts'
import * as refusals from './refusals.ts'
import type { ServiceHooks, Surroundings } from './surroundings.ts'
import { type Standing, Waits } from './waits.ts'

const NO_ADDRESSES: AddressPair = { local: '', remote: '' }

/**
 * - `opening`: asked about and dialled for; the client is not read
 * - `refusing`: the client is heard out, there is no server
 * - `running`: both sides are there
 * - `cancelling`: carries a CancelRequest; ends with the server
 * - `closing`: what is written is being flushed
 */
type State = 'opening' | 'refusing' | 'running' | 'cancelling' | 'closing' | 'closed'

export class Session implements PumpOwner, SessionFacts, Standing {
  readonly #number: number
  readonly #around: Surroundings<Session>
  readonly #hooks: ServiceHooks
  readonly #client: Socket<Session>
  readonly #clientOutlet: Outlet
  readonly #conversation: Conversation
  readonly #toServer: Pump
  readonly #toClient: Pump
  readonly line: ObserverLine | null
  readonly memory = new Map<string, Map<string, Uint8Array>>()
  readonly tls = null
  lastRequest: Uint8Array = new Uint8Array(0)
  #server: Socket<Session> | null = null
  #serverOutlet = new Outlet(null)
  #upstream: Upstream
  #state: State = 'opening'
  #clientPair: AddressPair | null = null
  #serverPair: AddressPair | null = null
  #cancelKey = ''
  #error = ''
  #leaving = false
  /** The upstream is one that a plugin or a CancelRequest names. */
  #routed = false
  readonly #waits: Waits

  constructor(number: number, client: Socket<Session>, around: Surroundings<Session>) {
    this.#number = number
    this.#around = around
    this.#hooks = around.hooks
    this.#client = client
    this.#upstream = around.balancer.next(this)
    this.#waits = new Waits(around, around.beat.now)
    this.#clientOutlet = new Outlet(client)
    this.#conversation = around.protocol.converse({
      fromClient: this.#hooks.fromClient.wanted,
      fromServer: this.#hooks.fromServer.wanted,
      limits: around.limits,
      waker: {
        wakeToServer: () => this.#toServer.wake(),
        wakeToClient: () => this.#toClient.wake(),
      },
    })
    const { fromClient, fromServer } = this.#conversation
    this.#toServer = new Pump(fromClient, fromClient, this.#hooks.fromClient, this)
    this.#toClient = new Pump(fromServer, null, this.#hooks.fromServer, this)
    this.#toServer.readFrom(client)
    this.#toServer.writeTo(this.#serverOutlet)
    this.#toServer.answerTo(this.#clientOutlet)
    this.#toClient.writeTo(this.#clientOutlet)
    this.line = this.#hooks.observers?.line(this) ?? null
  }

  get id(): string {
    return `${this.#around.instance}-${this.#number}`
  }
  get facts(): SessionFacts {
    return this
  }
  get account(): Account {
    return this.#around.account
  }
  get client(): AddressPair {
    this.#clientPair ??= addressesOf(this.#client)
    return this.#clientPair
  }
  get server(): AddressPair {
    if (this.#server === null) return NO_ADDRESSES
    this.#serverPair ??= addressesOf(this.#server)
    return this.#serverPair
  }
  get group(): string {
    return this.#around.group
  }
  get block(): string {
    return this.#upstream.block
  }
  get protocol(): string {
    return this.#around.protocol.name
  }
  get user(): string {
    return this.#conversation.user
  }
  get database(): string {
    return this.#conversation.database
  }
  get applicationName(): string {
    return this.#conversation.applicationName
  }

  /** Asks the onOpening chain, then connects; `refusal` is given where it is already decided. */
  open(refusal: Refusal | null): void {
    if (refusal !== null) return this.#hearOut(refusal)
    const { opening } = this.#hooks
    if (opening === null) return this.#dial()
    const verdict = opening(this)
    if (!(verdict instanceof Promise)) return this.#opened(verdict)
    verdict.then(
      (decided) => this.#opened(decided),
      (thrown: unknown) => this.broke(thrown),
    )
  }

  #opened(verdict: OpeningVerdict): void {
    if (this.#state !== 'opening') return
    switch (verdict.kind) {
      case 'deny':
        return this.#hearOut(verdict)
      case 'close':
        return this.close(verdict.bytes ?? null)
      case 'route': {
        const upstream = this.#around.balancer.named(verdict.block)
        if (!upstream) return this.#hearOut(refusals.noBlock(verdict.block, this.group))
        this.#upstream = upstream
        this.#routed = true
        return this.#dial()
      }
      default:
        this.#dial()
    }
  }

  /** A refused client is heard as far as the protocol needs, told, and closed. */
  #hearOut(refusal: Refusal): void {
    this.#state = 'refusing'
    this.#error = refusal.message
    this.#conversation.refuse(refusal)
    this.#toClient.start()
    this.#toServer.start()
    if (this.#conversation.refusalTold) this.close(null)
  }

  /** Connects to the upstream of the session; `then` is called when it is there. */
  #dial(then = () => this.#introduce()): void {
    const state = this.#state
    const wanted = (upstream: Upstream) => this.#state === state && this.#upstream === upstream
    const moved = (upstream: Upstream): void => {
      this.#upstream = upstream
    }
    const journey = { from: this.#upstream, fixed: this.#routed, owner: this, wanted, moved }
    reach<Session>(this.#around, journey).then(
      ({ upstream, dialled }) => {
        if (!wanted(upstream)) {
          if (dialled.kind === 'connected') dialled.socket.terminate()
        } else if (dialled.kind === 'connected') {
          this.#connected(dialled.socket)
          then()
        } else if (state === 'opening') this.#hearOut(refusals.unreachable(upstream.block))
        else this.refuse(refusals.unreachable(upstream.block))
      },
      (thrown: unknown) => this.broke(thrown),
    )
  }

  #connected(server: Socket<Session>): void {
    if (this.#upstream.keepAliveMs !== null) server.setKeepAlive(true, this.#upstream.keepAliveMs)
    this.#server = server
    this.#serverPair = null
    this.#waits.connected(this.#upstream.patience, this.#around.beat.now)
    this.#around.serverConnected?.(this.#upstream, this.server)
    this.#toClient.readFrom(server)
    if (this.#serverOutlet.attach(server)) this.#toServer.drained()
  }

  /** Tells observers of the session, then lets bytes through. */
  #introduce(): void {
    this.#state = 'running'
    this.line?.tell('onOpened')
    this.line?.tell('onTraffic')
    const settled = this.line?.settled() ?? null
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

  /** Bytes came from the client. */
  fromClient(chunk: Uint8Array): void {
    this.#waits.clientSpoke = this.#around.beat.now
    this.#around.account.bytesFromClient += chunk.length
    this.#toServer.feed(chunk)
  }

  /** Bytes came from the server. */
  fromServer(chunk: Uint8Array): void {
    // Nobody is left to read them, and a server that writes does not look for our end.
    if (this.#state === 'closing' || this.#state === 'closed') return this.#server?.terminate()
    this.#waits.serverSpoke = this.#around.beat.now
    this.#around.account.bytesFromServer += chunk.length
    this.#toClient.feed(chunk)
  }

  clientDrained(): void {
    if (!this.#clientOutlet.drained()) return
    this.#toClient.drained()
    this.#toServer.relieve()
  }

  serverDrained(): void {
    if (this.#serverOutlet.drained()) this.#toServer.drained()
  }

  /** The client will send no more: so the server is told, once it has all of it. */
  clientEnded(): void {
    if (this.#state === 'refusing') return this.close(null)
    this.#leaving = true
    this.#toServer.end(() => this.#serverOutlet.finish(() => this.#server?.shutdown()))
  }

  clientClosed(): void {
    this.#clientOutlet.abandon()
    this.close(null)
    this.#closed()
  }

  /** The server will send no more: the client gets what came, and the reason if it said none. */
  serverEnded(server: Socket<Session>): void {
    if (server !== this.#server || this.#state !== 'running') return this.#cancelled(server)
    this.#toClient.end(() => {
      if (this.#conversation.outlivesServer) {
        this.#clientOutlet.finish(() => this.#client.shutdown())
      } else this.#serverGone()
    })
  }

  serverClosed(server: Socket<Session>): void {
    if (server !== this.#server) return
    this.#serverOutlet.abandon()
    if (this.#state !== 'running') return this.#cancelled(server)
    this.#toClient.end(() => this.#serverGone())
  }

  #cancelled(server: Socket<Session>): void {
    if (server === this.#server && this.#state === 'cancelling') this.close(null)
  }

  #serverGone(): void {
    this.close(this.#leaving ? null : this.#conversation.farewell(refusals.SERVER_GONE))
  }

  close(lastWords: Uint8Array | null): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#state = 'closing'
    this.#waits.closes(this.#around.beat.now)
    this.line?.tell('onClosing', { error: this.#error })
    const words = this.#conversation.midMessage ? null : lastWords
    this.#toServer.stop()
    this.#toClient.stop()
    if (words !== null) this.#clientOutlet.write(words)
    this.#serverOutlet.finish(() => this.#server?.end())
    this.#clientOutlet.finish(() => this.#client.end())
  }

  refuse(refusal: Refusal): void {
    this.#error = refusal.message
    this.close(this.#conversation.farewell(refusal))
  }

  violated(sentence: string): void {
    this.#around.account.violations += 1
    this.#around.log.debug({ session: this.id, client: this.client.remote }, sentence)
    this.refuse(refusals.violation(sentence))
  }

  cancel(request: Uint8Array): void {
    this.#around.account.cancelRequests += 1
    const target = this.#around.cancelTargets.get(this.#around.protocol.cancelTarget(request))
    // A client that is refused, because there are too many, may still cancel what another does.
    const connected = this.#state === 'running'
    if (target === undefined || !(connected || this.#state === 'refusing')) return this.close(null)
    const sent = request.slice()
    this.#state = 'cancelling'
    if (target !== this.#upstream || !connected) this.#redial(target)
    this.#serverOutlet.write(sent)
  }

  route(block: string): string | null {
    const upstream = this.#around.balancer.named(block)
    if (upstream === undefined) return refusals.noBlock(block, this.group).message
    if (upstream === this.#upstream) return null
    if (!this.#conversation.routable) return 'a session can be routed only before it logs in'
    this.#redial(upstream)
    return null
  }

  /** Goes to another upstream; what is written meanwhile waits for it. */
  #redial(upstream: Upstream): void {
    const before = this.#server
    this.#server = null
    before?.terminate()
    this.#upstream = upstream
    this.#routed = true
    this.#serverOutlet = new Outlet(null)
    this.#toServer.writeTo(this.#serverOutlet)
    this.#dial(() => {})
  }

  rememberRequest(bytes: Uint8Array): void {
    this.lastRequest = bytes.slice()
  }

  stepFailed(plugin: string, hook: DirectionHooks['decides'], cause: string): void {
    this.#around.stepFailed(plugin, hook, cause)
  }

  denied(hook: DirectionHooks['decides']): void {
    this.#around.denied(hook)
  }

  progressed(): void {
    this.#toServer.relieve()
    if (this.#state === 'refusing' && this.#conversation.refusalTold) return this.close(null)
    const { cancelKey } = this.#conversation
    if (cancelKey !== this.#cancelKey) {
      this.#cancelKey = cancelKey
      this.#around.cancelTargets.set(cancelKey, this.#upstream)
    }
  }

  broke(thrown: unknown): void {
    this.#around.account.internalErrors += 1
    this.#around.log.error({ err: thrown, session: this.id }, 'a session broke and was closed')
    this.close(null)
  }

  /** Called on every beat: ends what has waited too long. `now` in milliseconds. */
  check(now: number): void {
    if (this.#waits.lingered(now)) this.#client.terminate()
    const overdue = this.#waits.overdue(now, this)
    if (overdue === null) return
    this.#around.account[overdue.counted] += 1
    this.refuse(overdue.refusal)
  }

  get underWay(): boolean {
    return this.#conversation.owes || this.#toServer.busy || this.#toClient.busy
  }
  get loggedIn(): boolean {
    return this.#state !== 'refusing' && this.#conversation.loggedIn
  }
  get awaitsServer(): boolean {
    // Not where the client, or a step, is what keeps its words from going on.
    const held = this.#toServer.busy || this.#toClient.busy || this.#clientOutlet.full
    return !held && this.#server !== null && this.#conversation.awaitsServer
  }
  get keptForServer(): number {
    return this.#server === null ? 0 : this.#serverOutlet.kept
  }

  /** Asks the session to end for a shutdown: at once where nothing is under way, or by force. */
  drain(force: boolean): void {
    const busy = this.#state === 'running' && (!this.#conversation.idle || this.underWay)
    if (!force && (busy || this.#state === 'cancelling')) return
    this.refuse(refusals.SHUTTING_DOWN)
  }

  #closed(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    if (this.#cancelKey !== '') this.#around.cancelTargets.delete(this.#cancelKey)
    this.line?.tell('onClosed', { error: this.#error })
    this.#around.closed(this)
  }
}
