/** `postern run`: the gateway itself, from files or from flags alone. */
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { configFromFlags, parsePluginFlag } from '../config/flags.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { watchFiles } from '../config/watch.ts'
import { Gateway } from '../gateway.ts'
import { commandLine, ownOrigin } from '../upgrade/executable.ts'
import { meetPredecessor } from '../upgrade/predecessor.ts'
import { readFlags } from './flags.ts'
import type { Io, ProcessIo } from './io.ts'

const LISTEN_DEFAULT = '127.0.0.1:15432'
/** The signals on which GatewayD stops too, with the words that plugins are told. */
const STOP_SIGNALS = {
  SIGINT: 'interrupt',
  SIGTERM: 'terminated',
  SIGQUIT: 'quit',
  SIGABRT: 'aborted',
} as const

/** GatewayD stops on this one too; here it reloads, and plugins are told the same word. */
const RELOAD_SIGNAL = 'SIGHUP'
const RELOAD_WORD = 'hangup'

/** On this one another process takes over. */
const UPGRADE_SIGNAL = 'SIGUSR2'

/** The exit status after a stop that a second signal cut short. */
const FORCED = 1

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  'plugin-config': { type: 'string', short: 'p' },
  upstream: { type: 'string' },
  listen: { type: 'string' },
  metrics: { type: 'string' },
  protocol: { type: 'string' },
  plugin: { type: 'string', multiple: true },
  dev: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  watch: { type: 'boolean', default: false },
  // Flags of GatewayD, accepted so that its command lines work; nothing is ever reported.
  lint: { type: 'boolean' },
  tracing: { type: 'boolean' },
  'collector-url': { type: 'string' },
  sentry: { type: 'boolean' },
  'usage-report': { type: 'boolean' },
} as const

type Flags = ReturnType<typeof runFlags>

function runFlags(argv: readonly string[]) {
  return readFlags(argv.flatMap(plainFlag), OPTIONS).values
}

/** GatewayD's booleans may be written `--dev=false`, which parseArgs does not know. */
function plainFlag(arg: string): readonly string[] {
  const [, name, value] = /^--(lint|tracing|sentry|usage-report|dev)=(.*)$/.exec(arg) ?? []
  if (name === undefined) return [arg]
  return /^(1|t|true)$/i.test(value ?? '') ? [`--${name}`] : []
}

function loadedBy(flags: Flags, io: Io): LoadedConfig {
  const onlyWithout = ['listen', 'metrics', 'protocol', 'plugin'] as const
  if (flags.upstream !== undefined && flags.watch) {
    throw new GatewayError('USAGE', '--watch goes with files (-c, -p), not with --upstream')
  }
  if (flags.upstream === undefined) {
    const stray = onlyWithout.find((name) => flags[name] !== undefined)
    if (stray !== undefined) {
      throw new GatewayError('USAGE', `--${stray} goes with --upstream, for a run without files`)
    }
    const { config: configPath, 'plugin-config': pluginsPath } = flags
    return loadConfig({ configPath, pluginsPath, env: io.env })
  }
  if (flags.config !== undefined || flags['plugin-config'] !== undefined) {
    throw new GatewayError('USAGE', 'either --upstream or files (-c, -p), not both')
  }
  const overrides = { ...(flags.protocol && { 'servers.default.protocol': flags.protocol }) }
  return configFromFlags({
    upstream: flags.upstream,
    listen: flags.listen ?? LISTEN_DEFAULT,
    metrics: flags.metrics,
    plugins: (flags.plugin ?? []).map(parsePluginFlag),
    env: io.env,
    overrides,
  })
}

/** Runs until a signal, or to the end of `--check`; returns the exit status. */
export async function run(argv: string[], io: ProcessIo): Promise<number> {
  const flags = runFlags(argv)
  const load = (): LoadedConfig => loadedBy(flags, io)
  const command = commandLine(ownOrigin())
  const predecessor = await meetPredecessor(process.env)
  try {
    const { dev } = flags
    const gateway = new Gateway({ loaded: load(), load, dev, env: io.env, predecessor, command })
    return await runGateway(gateway, flags, io)
  } catch (thrown) {
    await predecessor?.refuse(sentenceOf(thrown))
    throw thrown
  }
}

async function runGateway(gateway: Gateway, flags: Flags, io: ProcessIo): Promise<number> {
  if (flags.check) {
    await gateway.check()
    io.out('everything loads, and every plugin starts')
    return 0
  }
  return await untilStopped(gateway, flags, io)
}

/** Runs until it has stopped; returns the exit status. */
async function untilStopped(gateway: Gateway, flags: Flags, io: ProcessIo): Promise<number> {
  const stop = Promise.withResolvers<NodeJS.Signals>()
  let stops = 0
  io.onSignal(Object.keys(STOP_SIGNALS) as NodeJS.Signals[], (signal) => {
    stops += 1
    stop.resolve(signal)
    if (stops === 1) return
    gateway.log.warn({ signal }, 'a second signal to stop: nothing is waited for any more')
    gateway.force()
  })
  const started = Promise.withResolvers<void>()
  io.onSignal([RELOAD_SIGNAL], () => {
    // What comes before the gateway is ready is done when it is.
    void started.promise.then(() => gateway.hangUp(RELOAD_WORD))
  })
  io.onSignal([UPGRADE_SIGNAL], () => void started.promise.then(() => gateway.upgrade()))
  await gateway.start()
  started.resolve()
  const watch = flags.watch
    ? watchFiles({ files: () => gateway.files, changed: () => gateway.reload(), log: gateway.log })
    : null
  const replaced = gateway.replaced.then(() => null)
  const first = await Promise.race([stop.promise, replaced])
  watch?.stop()
  if (first === null) {
    const left = gateway.leave().then(() => null)
    // Whoever has no patience with the clients that are left may say so.
    if ((await Promise.race([stop.promise, left])) === null) return 0
  }
  const signal = await stop.promise
  gateway.log.info({ signal }, 'stopping')
  await gateway.stop(STOP_SIGNALS[signal as keyof typeof STOP_SIGNALS])
  return stops > 1 ? FORCED : 0
}
