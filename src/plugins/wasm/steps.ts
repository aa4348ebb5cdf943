/** A plugin's part in every hook that its manifest lists, as steps of the gateway's chains. */
import { HOOKS, type HookName, type ObservingHook } from '../../hooks/hook.ts'
import type {
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
import type { ManifestHook } from './manifest.ts'
import { encodeText } from './memory.ts'
import type { Runner } from './runner.ts'
import {
  fromClientVerdict,
  fromServerVerdict,
  openingVerdict,
  settingsVerdict,
} from './verdicts.ts'

/** What all steps of a plugin have in common. */
export interface StepBase {
  readonly plugin: string
  readonly priority: number
  readonly onFailure: OnFailure
}

const NOTHING = new Uint8Array(0)

/** Parameters as JSON; whole numbers too large for a double go as text. */
function paramsJson(params: Readonly<Record<string, unknown>>): Uint8Array {
  return encodeText(
    JSON.stringify(params, (_key, value) => (typeof value === 'bigint' ? String(value) : value)),
  )
}

/** The keys of GatewayD's table for a hook of a session that carries no bytes. */
function sessionParams(
  session: SessionFacts,
  more: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { local, remote } = session.client
  return { client: { local, remote }, ...more }
}

function trafficBase(base: StepBase, hook: ManifestHook) {
  return { ...base, unit: hook.unit, messages: hook.messages, needsRequest: false }
}

function fromClientStep(base: StepBase, hook: ManifestHook, runner: Runner): FromClientStep {
  return {
    ...trafficBase(base, hook),
    seesEdges: false,
    decide: (session, bytes) =>
      runner.run('onTrafficFromClient', session, bytes, fromClientVerdict),
  }
}

function fromServerStep(base: StepBase, hook: ManifestHook, runner: Runner): FromServerStep {
  return {
    ...trafficBase(base, hook),
    decide: (session, bytes) =>
      runner.run('onTrafficFromServer', session, bytes, fromServerVerdict),
  }
}

function openingStep(base: StepBase, runner: Runner): OpeningStep {
  return {
    ...base,
    decide: (session) =>
      runner.run('onOpening', session, paramsJson(sessionParams(session, {})), openingVerdict),
  }
}

function settingsStep(
  base: StepBase,
  hook: 'onConfigLoaded' | 'onRun',
  runner: Runner,
): SettingsStep {
  return {
    ...base,
    decide: (params) => runner.run(hook, null, paramsJson(params), settingsVerdict),
  }
}

/** What an observer's guest is given: the bytes of traffic hooks, else the parameters. */
function observed(hook: HookName, event: ObservedEvent): Uint8Array {
  if (hook === 'onTrafficToServer' || hook === 'onTrafficToClient') return event.bytes ?? NOTHING
  const { session, params } = event
  return paramsJson(session === null ? params : sessionParams(session, params))
}

function observingStep(
  base: StepBase,
  name: ObservingHook,
  hook: ManifestHook,
  runner: Runner,
): ObservingStep {
  return {
    ...base,
    unit: hook.unit,
    messages: hook.messages,
    borrows: true,
    tell: (event) => {
      const input = observed(name, event)
      return runner.tell(name, event.session, runner.isResting ? input.slice() : input)
    },
  }
}

/** Steps for all hooks of a manifest. Calling one never throws. */
export function makeSteps(
  base: StepBase,
  hooks: readonly ManifestHook[],
  runner: Runner,
): PluginSteps {
  const listed = new Map(hooks.map((hook) => [hook.name, hook]))
  const observers: Partial<Record<ObservingHook, ObservingStep>> = {}
  for (const row of HOOKS) {
    const hook = listed.get(row.name)
    if (hook === undefined || row.kind !== 'observes') continue
    observers[row.name] = observingStep(base, row.name, hook, runner)
  }
  const fromClient = listed.get('onTrafficFromClient')
  const fromServer = listed.get('onTrafficFromServer')
  return {
    observers,
    ...(listed.has('onConfigLoaded')
      ? { onConfigLoaded: settingsStep(base, 'onConfigLoaded', runner) }
      : {}),
    ...(listed.has('onRun') ? { onRun: settingsStep(base, 'onRun', runner) } : {}),
    ...(listed.has('onOpening') ? { onOpening: openingStep(base, runner) } : {}),
    ...(fromClient === undefined
      ? {}
      : { onTrafficFromClient: fromClientStep(base, fromClient, runner) }),
    ...(fromServer === undefined
      ? {}
      : { onTrafficFromServer: fromServerStep(base, fromServer, runner) }),
  }
}
