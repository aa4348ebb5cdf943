/** The shape, the defaults and the help of every key of the plugins file. */
import type * as z from 'zod'
import {
  anyMap,
  choice,
  count,
  duration,
  flag,
  formedText,
  formedTexts,
  limit,
  namesOrAll,
  optionalChoice,
  optionalFlag,
  optionalLimit,
  optionalText,
  requiredText,
  secret,
  section,
  sections,
  text,
  texts,
  whereRead,
} from './fields.ts'
import type { Immutable } from './schema.ts'

const MIB = 1_048_576

/** What a plugin may see of our environment unless its entry says otherwise. */
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_*', 'TZ'] as const

const CHECKSUM = /^([0-9A-Fa-f]{64})?$/
const VARIABLE = /^[^=\0]+=[^\0]*$/

/** A deadline holds up all sessions, so there is an end to what may be allowed. */
const DEADLINE_MS_MAX = 60_000
const PAGE_BYTES = 65_536
const BYTES_MAX = 4_294_967_296

/** What fits, for a limit that the refusal below names. */
const deadlineFits = (ms: number): boolean => ms >= 1 && ms <= DEADLINE_MS_MAX
const DEADLINE = 'must be from 1ms to 1m: while a plugin runs, all sessions wait'

export const limits = section(
  'What a WASM plugin may use up; gRPC plugins are processes of their own.',
  {
    callDeadline: limit('50ms', 'WASM: longest call of a hook; `timeout`, if that is shorter.'),
    startDeadline: limit('500ms', 'WASM: longest start; start section, _initialize, describe.'),
    cpuShareMax: count(50, 1, 100, 'WASM: percent of any one second that its calls may take.'),
    memoryBytesMax: count(64 * MIB, PAGE_BYTES, BYTES_MAX, 'WASM: its memory, in bytes.'),
    tableElementsMax: count(100_000, 1, 10_000_000, 'WASM: elements of each of its tables.'),
    moduleBytesMax: count(64 * MIB, 1024, 1024 * MIB, 'WASM: size of its file.'),
    outputBytesMax: count(16 * MIB, 1024, 1024 * MIB, 'WASM: payload of one verdict.'),
    logBytesMax: count(65_536, 256, 16 * MIB, 'WASM: one log line; a call logs 16 times that.'),
    logLinesMax: count(20_000, 1, 1_000_000, 'WASM: log lines a second; further ones are dropped.'),
    sessionBytesMax: count(65_536, 0, 1024 * MIB, 'WASM: what it keeps with one session.'),
    kvBytesMax: count(16 * MIB, 0, BYTES_MAX, 'WASM: what it keeps in its key-value store.'),
    variablesBytesMax: count(MIB, 0, BYTES_MAX, 'WASM: its variables (Extism PDK).'),
    metricSeriesMax: count(1000, 0, 1_000_000, 'WASM: series that its own metrics may fill.'),
    signalsMax: count(64, 0, 100_000, 'WASM: signals that one call may send.'),
  },
)
  .refine((at) => deadlineFits(at.callDeadline), {
    path: ['callDeadline'],
    error: DEADLINE,
    when: whereRead('callDeadline'),
  })
  .refine((at) => deadlineFits(at.startDeadline), {
    path: ['startDeadline'],
    error: DEADLINE,
    when: whereRead('startDeadline'),
  })

const pluginEntry = section('A plugin; its place in the list is its place in every hook.', {
  name: requiredText('The name that the plugin goes by.'),
  enabled: flag(true, 'False: not started, but its place in the list stays taken.'),
  localPath: text('', 'The executable or the .wasm file.'),
  url: text('', 'Where the plugin was installed from.'),
  args: texts('Arguments of the executable.'),
  env: secret(formedTexts('NAME=value', VARIABLE, 'Variables for it, each NAME=value.')),
  inheritEnv: namesOrAll(INHERITED, 'Our variables that it sees too (LC_* by prefix); true: all.'),
  checksum: optionalText('64 hexadecimal digits', CHECKSUM, 'The SHA-256 that the file must have.'),
  runtime: optionalChoice(['grpc', 'wasm'], 'Left out: told from the first bytes of the file.'),
  config: secret(anyMap('Settings for the plugin; variables and file:PATH are replaced.')),
  required: optionalFlag('True: without this plugin the gateway does not start.'),
  onFailure: choice(['open', 'closed'], 'open', 'When it fails: let pass, or refuse.'),
  timeout: optionalLimit('Longest call of a hook; left out: as for the file.'),
  startTimeout: optionalLimit('Longest start; left out: as for the file.'),
  limits: limits.prefault({}),
})
  .refine((at) => !at.enabled || at.localPath !== '', {
    path: ['localPath'],
    error: 'is missing: name the executable or .wasm file, or set enabled: false',
    when: whereRead('enabled', 'localPath'),
  })
  .refine((at) => at.onFailure !== 'closed' || at.required !== false, {
    path: ['required'],
    error: 'must be true or left out beside onFailure: closed',
    when: whereRead('onFailure', 'required'),
  })

const policy = section('What is to be done about a signal of the same name.', {
  name: requiredText('The name of the signal.'),
  policy: requiredText('The expression that must hold.'),
  metadata: anyMap('Values that the expression may use.'),
})

const actionRedis = section('Runs asynchronous actions elsewhere.', {
  enabled: flag(false, 'Publish them instead of running them here.'),
  address: text('localhost:6379', 'The address of Redis.'),
  channel: text('gatewayd-actions', 'The channel.'),
})

/** How the address of a shared store is written. Its database is a number. */
function isStore(written: string): boolean {
  if (written === '') return true
  const url = URL.parse(written)
  if (url === null || !['redis:', 'rediss:', 'valkey:', 'valkeys:'].includes(url.protocol)) {
    return false
  }
  return url.hostname !== '' && /^(\/\d{0,5})?$/.test(url.pathname) && url.search + url.hash === ''
}

const STORE = 'redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS'

/** The whole of the plugins file. */
export const pluginsSchema = section('The plugins.', {
  enableMetricsMerger: flag(true, 'Show the metrics of plugins on our page.'),
  metricsMergerPeriod: limit('5s', 'Time between collections of them.'),
  healthCheckPeriod: limit('5s', 'Time between pings of a plugin.'),
  reloadOnCrash: flag(true, 'Restart a plugin that is gone.'),
  timeout: limit('30s', 'Longest call of a hook.'),
  startTimeout: limit('1m', 'Longest start of a plugin.'),
  observersQueuedMax: count(1000, 1, 1_000_000, 'Events held for a slow observer.'),
  resultBytesMax: count(64 * MIB, 1024, 2_147_483_647, 'Longest result of a gRPC plugin.'),
  defaultPolicy: choice(
    ['passthrough', 'terminate'],
    'passthrough',
    'For results without signals.',
  ),
  policyTimeout: duration('30s', 'Longest evaluation of a policy; 0: none.'),
  actionTimeout: duration('30s', 'Longest action; 0: none.'),
  actionRedis: actionRedis.prefault({}),
  store: secret(
    text('', 'Redis or Valkey through which gateways share the key-value data of WASM plugins.'),
  ).refine(isStore, { error: `must be ${STORE}` }),
  storePrefix: formedText(
    'postern',
    'letters, digits, dots, dashes, underscores and colons, at most 64',
    /^[\w.:-]{1,64}$/,
    'What the names of the keys there begin with; gateways that share have the same.',
  ),
  storeRootCert: text('', 'Authorities (PEM) that its certificate is checked against.'),
  storeStalenessMax: limit('5s', 'Longest time until what others wrote is seen here.'),
  storeTimeout: limit('1s', 'Longest wait for an answer of it.'),
  storeQueuedMax: count(10_000, 1, 1_000_000, 'Changed keys of one plugin that wait to be sent.'),
  compatibilityPolicy: choice(['strict', 'loose'], 'strict', 'Whether unmet requirements count.'),
  policies: sections(policy, 'Policies, beside those built in.'),
  plugins: sections(pluginEntry, 'The plugins, first to last.'),
})

type ParsedPlugins = z.output<typeof pluginsSchema>
type ParsedEntry = z.output<typeof pluginEntry>

/** One plugin, with what its file and its position settle filled in. */
export interface PluginEntry
  extends Immutable<Omit<ParsedEntry, 'name' | 'checksum' | 'runtime' | 'required'>> {
  /** Null where it is left to the plugin's manifest (`--plugin FILE`). */
  readonly name: string | null
  /** 1000 and its position; entries that are not enabled count. Lower runs first. */
  readonly priority: number
  /** 64 lowercase hexadecimal digits, or null. */
  readonly checksum: string | null
  /** Null: told from the first bytes of the file. */
  readonly runtime: 'grpc' | 'wasm' | null
  readonly required: boolean
  readonly timeout: number
  readonly startTimeout: number
}

/** The plugins configuration; durations are milliseconds. */
export interface PluginsConfig extends Immutable<Omit<ParsedPlugins, 'plugins'>> {
  readonly plugins: readonly PluginEntry[]
}

const PRIORITY_FIRST = 1000

function settled(entry: ParsedEntry, position: number, file: ParsedPlugins): PluginEntry {
  const { checksum, runtime, required, timeout, startTimeout } = entry
  return {
    ...entry,
    priority: PRIORITY_FIRST + position,
    checksum: checksum === undefined || checksum === '' ? null : checksum.toLowerCase(),
    runtime: runtime ?? null,
    required: required ?? entry.onFailure === 'closed',
    timeout: timeout ?? file.timeout,
    startTimeout: startTimeout ?? file.startTimeout,
  }
}

/** Fills in what an entry takes from its file and its position. */
export function settledPlugins(file: ParsedPlugins): PluginsConfig {
  return { ...file, plugins: file.plugins.map((entry, at) => settled(entry, at, file)) }
}
