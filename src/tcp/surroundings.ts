/** What a generation hands to a listener, and a listener to its sessions. */
import type { Logger } from 'pino'
import type { Address } from '../base/address.ts'
import type { ObserverDesk } from '../hooks/observers.ts'
import type { AddressPair, SessionFacts } from '../hooks/step.ts'
import type { OpeningVerdict } from '../hooks/verdict.ts'
import type { EncryptionTerms, FlowLimits, Gate, Protocol, Wanted } from '../protocols/protocol.ts'
import type { Balancer } from '../upstream/balancer.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Account } from './account.ts'
import type { Descriptors } from './descriptors.ts'
import type { DirectionHooks } from './direction-hooks.ts'
import type { Place } from './facts.ts'
import type { KeptServer } from './kept-server.ts'
import type { ServerPool } from './server-pool.ts'
import type { Sharing } from './sharing.ts'
import type { Tenancy } from './tenancy.ts'
import type { TlsOptions } from './tls.ts'

/** The hooks of one service, as a generation built them. */
export interface ServiceHooks {
  /** Null where no plugin asked to be asked. */
  readonly opening: ((session: SessionFacts) => OpeningVerdict | Promise<OpeningVerdict>) | null
  readonly fromClient: DirectionHooks & { readonly wanted: Wanted }
  readonly fromServer: DirectionHooks & { readonly wanted: Wanted }
  readonly observers: ObserverDesk | null
}

export interface ListenerOptions {
  readonly group: string
  readonly address: Address
  /** Of a Unix socket; left out: open to everybody. */
  readonly socketMode?: number
  readonly protocol: Protocol
  readonly hooks: ServiceHooks
  readonly balancer: Balancer
  /** The upstreams whose connections are bounded, or shared by clients. */
  readonly pools: ReadonlyMap<Upstream, ServerPool>
  /** How clients are let in, where server connections are logged in already; else null. */
  readonly gate: Gate | null
  readonly limits: FlowLimits
  readonly sessionsMax: number
  /** Null: clients cannot encrypt. */
  readonly tls: TlsOptions | null
  /** Left out: those of the process. */
  readonly descriptors?: Descriptors
  /** Left out: no other process of the gateway accepts here. */
  readonly sharing?: Sharing | null
  /** 0: none. */
  readonly loginTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly account: Account
  /** The sessions that use these. */
  readonly tenancy: Tenancy
  readonly log: Logger
  stepFailed(plugin: string, hook: DirectionHooks['decides'], cause: string): void
  denied(hook: DirectionHooks['decides']): void
  upstreamFailed(upstream: Upstream, cause: string): void
  /** Told of every connection to a database; null where nobody wants to know. */
  readonly serverConnected: ((upstream: Upstream, server: AddressPair) => void) | null
}

/** Where a CancelRequest goes, as it is at that moment. */
export interface CancelTarget {
  /** There is no connection yet, so that nothing can be cancelled. */
  readonly unmet: boolean
  readonly upstream: Upstream
  /** The connection that is meant, where the gateway gave the client a key of its own. */
  readonly kept: KeptServer | null
}

/** What a session is given by its listener. */
export interface Surroundings
  extends Omit<ListenerOptions, 'address' | 'sessionsMax' | 'descriptors'> {
  readonly place: Place
  /** The time of the last beat, in milliseconds, so that sessions need not ask the clock. */
  readonly beat: { now: number }
  readonly encryption: EncryptionTerms
  /** Where a CancelRequest goes, by the key it names. */
  readonly cancelTargets: Map<string, CancelTarget>
}
