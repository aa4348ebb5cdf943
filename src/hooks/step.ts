/** A step is one plugin's part in a hook. Plugins of every runtime give steps; chains run them. */
import type { ObservingHook } from './hook.ts'
import type {
  FromClientVerdict,
  FromServerVerdict,
  OpeningVerdict,
  SettingsVerdict,
} from './verdict.ts'

/** One end-to-end address pair; both are `ip:port`, or "" where there is no connection yet. */
export interface AddressPair {
  readonly local: string
  readonly remote: string
}

/** What a step may know of the session it decides about. The same object for its whole life. */
export interface SessionFacts {
  readonly id: string
  readonly client: AddressPair
  /** Empty addresses until a server connection is assigned. */
  readonly server: AddressPair
  readonly group: string
  readonly block: string
  readonly protocol: string
  /** Null for a plaintext client. */
  readonly tls: {
    readonly version: string
    readonly cipher: string
    readonly subject: string
  } | null
  readonly user: string
  readonly database: string
  readonly applicationName: string
  /** The bytes last sent to the server, kept only where a step asks by `needsRequest`. */
  readonly lastRequest: Uint8Array
  /** Whatever plugins keep with the session, by plugin name; dropped when the session ends. */
  readonly memory: Map<string, Map<string, Uint8Array>>
}

/** What a step does when its plugin fails: let pass what it got, or refuse. */
export type OnFailure = 'open' | 'closed'

/**
 * What one call of a traffic step gets, under a protocol with messages: one whole message, the
 * whole messages that have come, or a whole reply. With `raw` always the chunk as read.
 */
export type Unit = 'message' | 'batch' | 'reply'

/**
 * What a step leaves for the later steps of the same unit, such as the fields a gRPC plugin added
 * to its result. One object a unit, written and read by steps only.
 */
export interface Carried {
  fields: Readonly<Record<string, unknown>> | null
  /** The bytes that `fields` speak of; other bytes at the next step mean they were rewritten. */
  about: Uint8Array | null
}

interface StepOfPlugin {
  readonly plugin: string
  /** Lower runs first. */
  readonly priority: number
  readonly onFailure: OnFailure
}

interface TrafficStepOf<Verdict> extends StepOfPlugin {
  readonly unit: Unit
  /** Message names of the protocol that the step wants; null: all. */
  readonly messages: readonly string[] | null
  /** True where `SessionFacts.lastRequest` must be kept for this step. */
  readonly needsRequest: boolean
  /**
   * Decides about `bytes`, which are only borrowed until the returned verdict (or promise) settles:
   * keep a copy, not the view. A verdict's own bytes belong to the gateway. Returns a promise only
   * where the plugin must be waited for. Never throws and never rejects: `failure` is a verdict.
   */
  decide(session: SessionFacts, bytes: Uint8Array, carried: Carried): Verdict | Promise<Verdict>
}

export interface FromClientStep extends TrafficStepOf<FromClientVerdict> {
  /** True for steps that are also shown the SSLRequest and the empty read at the client's end. */
  readonly seesEdges: boolean
}
export type FromServerStep = TrafficStepOf<FromServerVerdict>

export interface OpeningStep extends StepOfPlugin {
  decide(session: SessionFacts): OpeningVerdict | Promise<OpeningVerdict>
}

export interface SettingsStep extends StepOfPlugin {
  decide(params: Readonly<Record<string, unknown>>): SettingsVerdict | Promise<SettingsVerdict>
}

/**
 * What an observer is told. Lifecycle hooks carry `params` with the keys of GatewayD's table;
 * session hooks carry the session and, for traffic, its bytes.
 */
export interface ObservedEvent {
  readonly session: SessionFacts | null
  /** onTrafficToServer: the request sent. onTrafficToClient: the response sent. Else null. */
  readonly bytes: Uint8Array | null
  /** onTrafficToClient: the request it answers, empty if none. */
  readonly request: Uint8Array | null
  /** Hooks without a session: their parameters. onClosing and onClosed: `error`. */
  readonly params: Readonly<Record<string, unknown>>
}

export interface ObservingStep extends StepOfPlugin {
  /** As for a deciding step; null: all. Only for the two traffic hooks. */
  readonly messages: readonly string[] | null
  readonly unit: Unit
  /** True where `tell` is done with the bytes when it returns: they need not be copied for it. */
  readonly borrows?: boolean
  /** Never throws and never rejects; resolves when the plugin was told, true if it was. */
  tell(event: ObservedEvent): boolean | Promise<boolean>
}

/** All steps of one plugin: a key for every hook that it registered, and no other. */
export interface PluginSteps {
  readonly onConfigLoaded?: SettingsStep
  readonly onRun?: SettingsStep
  readonly onOpening?: OpeningStep
  readonly onTrafficFromClient?: FromClientStep
  readonly onTrafficFromServer?: FromServerStep
  readonly observers: Readonly<Partial<Record<ObservingHook, ObservingStep>>>
}
