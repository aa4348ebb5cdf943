/**
 * A gRPC plugin whose process another process of the gateway runs: the same steps, called over a
 * connection of our own. Its life is told from there, so nothing here starts or restarts it.
 */
import { basename } from 'node:path'
import { GatewayError } from '../../base/errors.ts'
import type { PluginSteps } from '../../hooks/step.ts'
import { CallCounts } from '../../metrics/calls.ts'
import type {
  Admission,
  Attachment,
  AttachmentSource,
  Plugin,
  PluginManifest,
  PluginSpec,
  PluginState,
  PluginStatus,
  PluginSurroundings,
} from '../plugin.ts'
import { Caller } from './caller.ts'
import { describe } from './description.ts'
import { statusOf } from './plugin-status.ts'
import type { Running } from './running.ts'
import { stepsOf } from './steps.ts'

type Attach = (attachment: Attachment, resultBytesMax: number) => Running

class AttachedPlugin implements Plugin {
  readonly spec: PluginSpec
  readonly calls = new CallCounts()
  onStateChange?: (state: PluginState) => void
  readonly #surroundings: PluginSurroundings
  readonly #source: AttachmentSource
  #attach: Attach | null = null
  #unwatch: () => void = () => undefined
  #manifest: PluginManifest | null = null
  #caller: Caller | null = null
  #steps: PluginSteps = { observers: {} }
  #running: Running | null = null
  #absence = 'the plugin was not started'
  #state: PluginState = 'stopped'
  #readySince: number | null = null
  #checksum = ''

  constructor(spec: PluginSpec, surroundings: PluginSurroundings, source: AttachmentSource) {
    this.spec = spec
    this.#surroundings = surroundings
    this.#source = source
  }

  get name(): string {
    return this.spec.name ?? this.#manifest?.name ?? ''
  }
  get manifest(): PluginManifest | null {
    return this.#manifest
  }
  get steps(): PluginSteps {
    return this.#steps
  }

  status(): PluginStatus {
    const own = {
      state: this.#state,
      restarts: 0,
      nextTryInMs: null,
      readySince: this.#readySince,
      name: this.name === '' ? basename(this.spec.localPath) : this.name,
      checksum: this.#checksum,
      lastError: this.#caller?.lastError ?? '',
      pid: this.#running?.pid ?? null,
      lastLines: [],
    }
    return statusOf(own, this.spec, this.#manifest, this.calls)
  }

  async start(admit?: Admission): Promise<void> {
    const { attach } = await import('./attached-running.ts')
    this.#attach = attach
    const current = this.#source.current()
    if (typeof current === 'string') {
      throw new GatewayError('PLUGIN_EXITED', `plugin ${this.name}: ${current}`)
    }
    const running = attach(current, this.spec.resultBytesMax)
    const { log } = this.#surroundings
    const note = (problem: string): void => log.debug({ plugin: this.name }, problem)
    const { name, localPath } = this.spec
    const { manifest, hooks } = describe(running.description, name, localPath, note)
    admit?.(manifest)
    this.#manifest = manifest
    this.#caller = new Caller({
      name: manifest.name,
      spec: this.spec,
      log,
      counts: this.calls,
      absence: () => this.#absence,
      unresponsive: (process) => this.#doubt(process),
    })
    this.#steps = stepsOf(hooks, this.#caller)
    this.#use(running)
    this.#unwatch = this.#source.watch(() => this.#follow())
    // What changed while this was being made.
    this.#follow()
  }

  async stop(): Promise<void> {
    this.#unwatch()
    this.#leave('the plugin was stopped', 'stopped')
  }

  /** Goes on with what is told from where it is run. */
  #follow(): void {
    const current = this.#source.current()
    if (typeof current === 'string') return this.#leave(current, 'failing')
    if (this.#running?.pid === current.pid || this.#attach === null) return
    this.#leave('the plugin is being restarted', 'restarting')
    this.#use(this.#attach(current, this.spec.resultBytesMax))
  }

  #use(running: Running): void {
    this.#running = running
    this.#checksum = running.checksum
    this.#readySince = Date.now()
    this.#state = 'ready'
    this.#caller?.use(running)
  }

  #leave(absence: string, state: PluginState): void {
    const running = this.#running
    this.#absence = absence
    this.#state = state
    this.#readySince = null
    this.#caller?.rest()
    this.#running = null
    if (running === null) return
    running.fail(new GatewayError('PLUGIN_EXITED', absence))
    // It only closes a connection.
    void running.stop()
  }

  #doubt(process: Running): void {
    if (this.#running !== process) return
    this.#leave('the plugin answers neither calls nor pings', 'failing')
    this.#source.doubted()
  }
}

/** Makes a plugin that is reached by what `surroundings` tell of it under this number. */
export function createAttachedPlugin(
  spec: PluginSpec,
  surroundings: PluginSurroundings,
  id: number,
): Plugin {
  const source = surroundings.attachments?.(id)
  if (source !== undefined) return new AttachedPlugin(spec, surroundings, source)
  throw new GatewayError('PLUGIN_EXITED', `plugin ${spec.name}: nobody tells how it is reached`)
}
