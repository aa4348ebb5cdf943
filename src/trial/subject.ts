/** The plugin under test: the one that the gateway would make, with its verdicts written down. */
import type { HookName, ObservingHook } from '../hooks/hook.ts'
import { HOOKS } from '../hooks/hook.ts'
import type { ObservingStep, PluginSteps } from '../hooks/step.ts'
import { SYSTEM_CLOCK } from '../plugins/clock.ts'
import type { Plugin, PluginSpec } from '../plugins/plugin.ts'
import { createWasmPlugin } from '../plugins/wasm/plugin.ts'
import { type PluginStore, PluginStores } from '../plugins/wasm/store.ts'
import type { AnyVerdict, Happenings } from './happenings.ts'

/** Where the clock for durations begins: Go's runtime does not start where it stands at zero. */
const BEGIN_MS = 1000

/** The time of a test: it stands still until a step moves it. */
export class TrialClock {
  #wallMs: number
  readonly #startMs: number

  constructor(nowMs: number) {
    this.#wallMs = nowMs
    this.#startMs = nowMs
  }

  /** How far it has been moved: never back, as a clock for durations must be. */
  readonly now = (): number => BEGIN_MS + Math.max(0, this.#wallMs - this.#startMs)
  readonly wall = (): number => this.#wallMs
  /** Restarts of the plugin are not the test's to delay. */
  readonly after = SYSTEM_CLOCK.after

  set(ms: number): void {
    this.#wallMs = ms
  }

  pass(ms: number): void {
    this.#wallMs += ms
  }
}

/** What of a file makes the plugin. */
export interface SubjectOptions {
  readonly module: string
  readonly config: Readonly<Record<string, unknown>>
  readonly onFailure: PluginSpec['onFailure']
  readonly limits: PluginSpec['limits']
}

/** Long enough for any module; what it does in that time has deadlines of its own. */
const PATIENCE_MS = 60_000

/** As an entry of the plugins file would say it, but for the checksum: the file is at hand. */
export function trialSpec({ module, config, onFailure, limits }: SubjectOptions): PluginSpec {
  return {
    name: null,
    priority: 1000,
    runtime: 'wasm',
    localPath: module,
    checksum: null,
    args: [],
    env: [],
    inheritEnv: [],
    config,
    required: true,
    onFailure,
    timeoutMs: PATIENCE_MS,
    startTimeoutMs: PATIENCE_MS,
    resultBytesMax: limits.outputBytesMax,
    reloadOnCrash: true,
    limits,
  }
}

export interface Subject {
  readonly plugin: Plugin
  readonly store: PluginStore
}

/** Starts the plugin; rejects with a GatewayError that says why it does not start. */
export async function startSubject(
  options: SubjectOptions,
  happenings: Happenings,
  clock: TrialClock,
): Promise<Subject> {
  const stores = new PluginStores(clock.now)
  const surroundings = {
    log: happenings.log,
    meter: happenings.meter,
    dev: true,
    clock,
    runFolder: () => {
      throw new Error('a WebAssembly plugin needs no folder')
    },
  }
  const plugin = createWasmPlugin(trialSpec(options), surroundings, stores)
  await plugin.start()
  // What the host says of the start, that no checksum is pinned, is not the plugin's.
  happenings.take()
  const store = stores.of(plugin.name, options.limits.kvBytesMax)
  return { plugin: watched(plugin, happenings), store }
}

/** The same plugin, with every verdict told. */
function watched(plugin: Plugin, happenings: Happenings): Plugin {
  return {
    spec: plugin.spec,
    name: plugin.name,
    manifest: plugin.manifest,
    calls: plugin.calls,
    steps: watchedSteps(plugin, happenings),
    status: () => plugin.status(),
    start: () => plugin.start(),
    stop: () => plugin.stop(),
  }
}

function watchedSteps(plugin: Plugin, happenings: Happenings): PluginSteps {
  const { observers, onConfigLoaded, onRun, onOpening, onTrafficFromClient, onTrafficFromServer } =
    plugin.steps
  function note<Verdict extends AnyVerdict>(
    hook: HookName,
    verdict: Verdict | Promise<Verdict>,
  ): Verdict | Promise<Verdict> {
    if (verdict instanceof Promise) return verdict.then((known) => note(hook, known))
    happenings.verdict(hook, verdict)
    return verdict
  }
  return {
    observers: watchedObservers(plugin, observers, happenings),
    ...(onConfigLoaded && {
      onConfigLoaded: {
        ...onConfigLoaded,
        decide: (params) => note('onConfigLoaded', onConfigLoaded.decide(params)),
      },
    }),
    ...(onRun && {
      onRun: { ...onRun, decide: (params) => note('onRun', onRun.decide(params)) },
    }),
    ...(onOpening && {
      onOpening: { ...onOpening, decide: (facts) => note('onOpening', onOpening.decide(facts)) },
    }),
    ...(onTrafficFromClient && {
      onTrafficFromClient: {
        ...onTrafficFromClient,
        decide: (facts, bytes, carried) =>
          note('onTrafficFromClient', onTrafficFromClient.decide(facts, bytes, carried)),
      },
    }),
    ...(onTrafficFromServer && {
      onTrafficFromServer: {
        ...onTrafficFromServer,
        decide: (facts, bytes, carried) =>
          note('onTrafficFromServer', onTrafficFromServer.decide(facts, bytes, carried)),
      },
    }),
  }
}

function watchedObservers(
  plugin: Plugin,
  observers: PluginSteps['observers'],
  happenings: Happenings,
): PluginSteps['observers'] {
  const told = (isTold: boolean): boolean => {
    if (!isTold) happenings.fault(plugin.status().lastError)
    return isTold
  }
  const all: Partial<Record<ObservingHook, ObservingStep>> = {}
  for (const { name, kind } of HOOKS) {
    const step = kind === 'observes' ? observers[name] : undefined
    if (kind !== 'observes' || step === undefined) continue
    all[name] = {
      ...step,
      tell: (event) => {
        const answer = step.tell(event)
        return answer instanceof Promise ? answer.then(told) : told(answer)
      },
    }
  }
  return all
}
