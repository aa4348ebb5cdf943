/** The steps of a gRPC plugin: parameters as GatewayD's table has them, results as verdicts. */
import type { Policies } from '../../config/policies.ts'
import type { HookName, ObservingHook } from '../../hooks/hook.ts'
import { hookNamed } from '../../hooks/hook.ts'
import type {
  AddressPair,
  Carried,
  FromClientStep,
  FromServerStep,
  ObservedEvent,
  ObservingStep,
  OnFailure,
  OpeningStep,
  PluginSteps,
  SessionFacts,
  SettingsStep,
} from '../../hooks/step.ts'
import type { Failure } from '../../hooks/verdict.ts'
import { carry, fieldsFor } from './carried.ts'
import { toStruct, toValue } from './plain.ts'
import type { Struct } from './struct.ts'
import {
  fromClientVerdict,
  fromServerVerdict,
  observerComplaint,
  openingVerdict,
  settingsVerdict,
} from './verdict.ts'

/** What a call gave: never a rejection, for a plugin's failure is expected. */
export type Outcome = { readonly kind: 'result'; readonly result: Struct } | Failure

/** What steps need of the plugin they belong to. */
export interface StepOwner {
  readonly name: string
  readonly priority: number
  readonly onFailure: OnFailure
  readonly policies: Policies
  /** Calls a hook and has the result's log signals logged; no promise where it cannot be called. */
  call(hook: HookName, params: Struct): Outcome | Promise<Outcome>
  /** Counts a result that is a failure. */
  failed(hook: HookName, cause: string): void
}

const NOTHING = new Uint8Array(0)

function pair(addresses: AddressPair): Struct {
  return { local: addresses.local, remote: addresses.remote }
}

function withSession(session: SessionFacts): Struct {
  return { client: pair(session.client), server: pair(session.server), error: '' }
}

/** Makes a verdict of an outcome, now or later, as the outcome came. */
function settle<Verdict>(
  outcome: Outcome | Promise<Outcome>,
  read: (outcome: Outcome) => Verdict,
): Verdict | Promise<Verdict> {
  return outcome instanceof Promise ? outcome.then(read) : read(outcome)
}

/** Makes the verdict of one hook, and counts the failures among them. */
function reader<Verdict extends { readonly kind: string }>(
  owner: StepOwner,
  hook: HookName,
  read: (result: Struct) => Verdict | Failure,
): (outcome: Outcome) => Verdict | Failure {
  return (outcome) => {
    if (outcome.kind === 'failure') return outcome
    const verdict = read(outcome.result)
    if ('cause' in verdict) owner.failed(hook, String(verdict.cause))
    return verdict
  }
}

function common(owner: StepOwner) {
  const { name, priority, onFailure } = owner
  return { plugin: name, priority, onFailure }
}

function fromClient(owner: StepOwner): FromClientStep {
  const hook = 'onTrafficFromClient'
  return {
    ...common(owner),
    unit: 'batch',
    messages: null,
    needsRequest: true,
    seesEdges: true,
    decide(session: SessionFacts, bytes: Uint8Array, carried: Carried) {
      const params = { ...fieldsFor(bytes, carried), ...withSession(session), request: bytes }
      const read = reader(owner, hook, (result) => {
        const verdict = fromClientVerdict(result, bytes, owner.policies)
        const onwards = verdict.kind === 'replace' ? verdict.bytes : bytes
        if (verdict.kind !== 'failure') carry(result, onwards, carried)
        return verdict
      })
      return settle(owner.call(hook, params), read)
    },
  }
}

function fromServer(owner: StepOwner): FromServerStep {
  const hook = 'onTrafficFromServer'
  return {
    ...common(owner),
    unit: 'reply',
    messages: null,
    needsRequest: true,
    decide(session: SessionFacts, bytes: Uint8Array, carried: Carried) {
      const params = {
        ...fieldsFor(bytes, carried),
        ...withSession(session),
        request: session.lastRequest,
        response: bytes,
      }
      const read = reader(owner, hook, (result) => {
        const verdict = fromServerVerdict(result, bytes, owner.policies)
        const onwards = verdict.kind === 'replace' ? verdict.bytes : bytes
        if (verdict.kind !== 'failure') carry(result, onwards, carried)
        return verdict
      })
      return settle(owner.call(hook, params), read)
    },
  }
}

function opening(owner: StepOwner): OpeningStep {
  const read = reader(owner, 'onOpening', (result) => openingVerdict(result, owner.policies))
  return {
    ...common(owner),
    decide: (session) => settle(owner.call('onOpening', { client: pair(session.client) }), read),
  }
}

function settings(owner: StepOwner, hook: 'onConfigLoaded' | 'onRun'): SettingsStep {
  return {
    ...common(owner),
    decide(params) {
      const sent = toStruct(params)
      const read = reader(owner, hook, (result) => settingsVerdict(result, sent, owner.policies))
      return settle(owner.call(hook, sent), read)
    },
  }
}

/** The parameters of an observing hook, by the table of hooks. */
function observedParams(hook: ObservingHook, event: ObservedEvent): Struct {
  const { session } = event
  if (session === null) return toStruct(event.params)
  const client = pair(session.client)
  switch (hook) {
    case 'onClosing':
    case 'onClosed':
      return { client, error: toValue(event.params['error'] ?? '') }
    case 'onTrafficToServer':
      return { ...withSession(session), request: event.bytes ?? NOTHING }
    case 'onTrafficToClient':
      return {
        ...withSession(session),
        request: event.request ?? NOTHING,
        response: event.bytes ?? NOTHING,
      }
    default:
      return { client }
  }
}

function observing(owner: StepOwner, hook: ObservingHook): ObservingStep {
  return {
    ...common(owner),
    messages: null,
    unit: hook === 'onTrafficToClient' ? 'reply' : 'batch',
    tell(event) {
      const params = observedParams(hook, event)
      return settle(owner.call(hook, params), (outcome) => {
        if (outcome.kind === 'failure') return false
        const complaint = observerComplaint(outcome.result, params, owner.policies)
        if (complaint !== null) owner.failed(hook, complaint)
        return complaint === null
      })
    },
  }
}

/** Steps for the hooks that the plugin listed, and for no other: calling those crashes plugins. */
export function stepsOf(hooks: readonly HookName[], owner: StepOwner): PluginSteps {
  const listed = new Set<string>(hooks)
  const observers: Partial<Record<ObservingHook, ObservingStep>> = {}
  for (const name of hooks) {
    const row = hookNamed(name)
    if (row?.kind === 'observes') observers[row.name] = observing(owner, row.name)
  }
  return {
    ...(listed.has('onConfigLoaded') && { onConfigLoaded: settings(owner, 'onConfigLoaded') }),
    ...(listed.has('onRun') && { onRun: settings(owner, 'onRun') }),
    ...(listed.has('onOpening') && { onOpening: opening(owner) }),
    ...(listed.has('onTrafficFromClient') && { onTrafficFromClient: fromClient(owner) }),
    ...(listed.has('onTrafficFromServer') && { onTrafficFromServer: fromServer(owner) }),
    observers,
  }
}
