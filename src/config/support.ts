/**
 * Which of the accepted keys the gateway acts on today. Whoever builds a feature adds its keys
 * here; the operator is told about the rest.
 */
import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import type { Draft } from './draft.ts'
import { shownPath } from './problem.ts'
import { isLeaf, isOptional, isSections, type Path, spotAt } from './shape.ts'

/** Keys acted on, where `*` stands for any group, block or position: for any value, or for some. */
export const ACTED_ON: Readonly<Record<string, 'any' | readonly string[]>> = {
  'loggers.default.output': ['console', 'stdout', 'stderr', 'file'],
  'loggers.default.level': 'any',
  'loggers.default.timeFormat': 'any',
  'loggers.default.consoleTimeFormat': 'any',
  'loggers.default.noColor': 'any',
  'loggers.default.fileName': 'any',
  'metrics.default.enabled': 'any',
  'metrics.default.address': 'any',
  'metrics.default.path': 'any',
  'metrics.default.certFile': 'any',
  'metrics.default.keyFile': 'any',
  'clients.*.*.network': 'any',
  'clients.*.*.address': 'any',
  'clients.*.*.tcpKeepAlive': 'any',
  'clients.*.*.receiveDeadline': 'any',
  'clients.*.*.receiveTimeout': 'any',
  'clients.*.*.sendDeadline': 'any',
  'clients.*.*.dialTimeout': 'any',
  'clients.*.*.retries': 'any',
  'clients.*.*.backoff': 'any',
  'clients.*.*.backoffMultiplier': 'any',
  'clients.*.*.disableBackoffCaps': 'any',
  'clients.*.*.startupParams': 'any',
  'clients.*.*.role': 'any',
  'clients.*.*.probeParams': 'any',
  'pools.*.*.size': 'any',
  'pools.*.*.mode': 'any',
  'pools.*.*.waitTimeout': 'any',
  'pools.*.*.idleTimeout': 'any',
  'pools.*.*.lifetime': 'any',
  'pools.*.*.resetQuery': 'any',
  'pools.*.*.strict': 'any',
  'pools.*.*.preparedStatementsMax': 'any',
  'pools.*.*.clientStatementsMax': 'any',
  'pools.*.*.statementBytesMax': 'any',
  'proxies.*.*.healthCheckPeriod': 'any',
  'clients.*.*.sslMode': 'any',
  'clients.*.*.sslRootCert': 'any',
  'clients.*.*.sslCert': 'any',
  'clients.*.*.sslKey': 'any',
  'servers.*.network': 'any',
  'servers.*.address': 'any',
  'servers.*.protocol': 'any',
  'servers.*.sessionsMax': 'any',
  'servers.*.idleTimeout': 'any',
  'servers.*.loginTimeout': 'any',
  'servers.*.auth': 'any',
  'servers.*.authFile': 'any',
  'servers.*.authTrustRemote': 'any',
  'servers.*.enableTLS': 'any',
  'servers.*.requireTLS': 'any',
  'servers.*.certFile': 'any',
  'servers.*.keyFile': 'any',
  'servers.*.handshakeTimeout': 'any',
  'servers.*.tlsMinVersion': 'any',
  'servers.*.certificates.*.serverNames': 'any',
  'servers.*.certificates.*.certFile': 'any',
  'servers.*.certificates.*.keyFile': 'any',
  'servers.*.clientCert': 'any',
  'servers.*.clientCaFile': 'any',
  'servers.*.enableTicker': 'any',
  'servers.*.tickInterval': 'any',
  'servers.*.socketMode': 'any',
  'servers.*.loadBalancer.strategy': 'any',
  'servers.*.loadBalancer.consistentHash': 'any',
  'servers.*.loadBalancer.loadBalancingRules': 'any',
  'servers.*.messageBytesMax': 'any',
  'servers.*.bufferedBytesMax': 'any',
  workers: 'any',
  workerTimeout: 'any',
  drainTimeout: 'any',
  generationsMax: 'any',
  upgradeTimeout: 'any',
  upgradesMax: 'any',
  timeout: 'any',
  startTimeout: 'any',
  enableMetricsMerger: 'any',
  metricsMergerPeriod: 'any',
  healthCheckPeriod: 'any',
  reloadOnCrash: 'any',
  compatibilityPolicy: 'any',
  defaultPolicy: 'any',
  // Which expressions are, is checked where they are read.
  'policies.*.name': 'any',
  'policies.*.policy': 'any',
  'policies.*.metadata': 'any',
  observersQueuedMax: 'any',
  resultBytesMax: 'any',
  store: 'any',
  storePrefix: 'any',
  storeRootCert: 'any',
  storeStalenessMax: 'any',
  storeTimeout: 'any',
  storeQueuedMax: 'any',
  'plugins.*.name': 'any',
  'plugins.*.enabled': 'any',
  'plugins.*.localPath': 'any',
  // Read by the installer alone, so there is nothing to act on while running.
  'plugins.*.url': 'any',
  'plugins.*.args': 'any',
  'plugins.*.env': 'any',
  'plugins.*.inheritEnv': 'any',
  'plugins.*.checksum': 'any',
  'plugins.*.runtime': 'any',
  'plugins.*.config': 'any',
  'plugins.*.required': 'any',
  'plugins.*.onFailure': 'any',
  'plugins.*.timeout': 'any',
  'plugins.*.startTimeout': 'any',
  'plugins.*.limits.callDeadline': 'any',
  'plugins.*.limits.startDeadline': 'any',
  'plugins.*.limits.cpuShareMax': 'any',
  'plugins.*.limits.memoryBytesMax': 'any',
  'plugins.*.limits.tableElementsMax': 'any',
  'plugins.*.limits.moduleBytesMax': 'any',
  'plugins.*.limits.outputBytesMax': 'any',
  'plugins.*.limits.logBytesMax': 'any',
  'plugins.*.limits.logLinesMax': 'any',
  'plugins.*.limits.sessionBytesMax': 'any',
  'plugins.*.limits.kvBytesMax': 'any',
  'plugins.*.limits.variablesBytesMax': 'any',
  'plugins.*.limits.metricSeriesMax': 'any',
  'plugins.*.limits.signalsMax': 'any',
}

/** Keys of older plugins files that mean nothing any more. */
const RETIRED: readonly string[] = ['verificationPolicy', 'acceptancePolicy', 'terminationPolicy']

/** Keys that GatewayD's `config init` writes by mistake, and that never meant anything. */
const LEAKED: readonly string[] = ['blockname', 'groupname']

/** Sections that are named as a whole, because no key of theirs is acted on. */
const WHOLE: readonly string[] = ['api', 'raft', 'actionRedis']

/** Lists of sections whose keys are acted on one by one. */
const PART_BY_PART: readonly string[] = ['plugins', 'policies', 'certificates']

/** Takes away the keys of older plugins files; returns a notice that names them. */
export function dropRetired(plugins: Draft): readonly string[] {
  const retired = RETIRED.filter((key) => plugins.at([key]) !== undefined)
  for (const key of retired) plugins.drop([key])
  if (retired.length === 0) return []
  return [`${plugins.file}: deprecated, without effect, please remove: ${retired.join(', ')}`]
}

/** Takes away keys that stand in client blocks by mistake. */
export function dropLeaked(global: Draft): void {
  for (const group of global.names('clients')) {
    for (const block of global.names('clients', group)) {
      for (const key of LEAKED) global.drop(['clients', group, block, key])
    }
  }
}

/** True where a path fits a pattern. */
function fits(path: Path, pattern: string): boolean {
  const parts = pattern.split('.')
  return (
    parts.length === path.length && parts.every((part, at) => part === '*' || part === path[at])
  )
}

function rowFor<Row>(table: Readonly<Record<string, Row>>, path: Path): Row | undefined {
  for (const [pattern, row] of Object.entries(table)) {
    if (fits(path, pattern)) return row
  }
  return undefined
}

/** A value that was written and differs from its default. */
interface Setting {
  /** Its own path, or that of the section which is acted on, or not, as one. */
  readonly path: Path
  readonly value: unknown
}

/** Every setting of a draft that is valid by itself and no default. */
function settingsOf(draft: Draft, root: z.core.$ZodType): readonly Setting[] {
  const settings: Setting[] = []
  for (const path of draft.paths()) {
    const { schema } = spotAt(root, path)
    const written = draft.at(path)
    if (schema === undefined || written === undefined) continue
    const head = headOf(root, path)
    if (!isLeaf(schema)) {
      if (isPresent(schema, path, written)) settings.push({ path: head, value: written })
      continue
    }
    const value = z.safeParse(schema, written).data
    const standard = z.safeParse(schema, undefined).data
    if (value === undefined || isDeepStrictEqual(value, standard)) continue
    settings.push({ path: head, value })
  }
  return settings
}

/** An empty list or map says nothing, but where its presence does. */
function isPresent(schema: z.core.$ZodType, path: Path, written: unknown): boolean {
  if (isOptional(schema)) return true
  return isOne(schema, path) && Array.isArray(written) && written.length > 0
}

/** The path up to the first section that is acted on as one, else all of it. */
function headOf(root: z.core.$ZodType, path: Path): Path {
  for (let length = 1; length < path.length; length++) {
    const head = path.slice(0, length)
    const { schema } = spotAt(root, head)
    if (schema !== undefined && isOne(schema, head)) return head
  }
  return path
}

function isOne(schema: z.core.$ZodType, path: Path): boolean {
  const [top, ...rest] = path
  if (rest.length === 0 && top !== undefined && WHOLE.includes(top)) return true
  if (isOptional(schema)) return true
  return isSections(schema) && !PART_BY_PART.some((name) => name === top || name === path.at(-1))
}

/** The keys of a draft, as they are written, that nothing acts on yet. */
export function keysIgnored(draft: Draft, schema: z.ZodType): readonly string[] {
  const ignored = settingsOf(draft, schema).filter(({ path, value }) => !isActedOn(path, value))
  return [...new Set(ignored.map(({ path }) => shownPath(path)))]
}

function isActedOn(path: Path, value: unknown): boolean {
  const row = rowFor(ACTED_ON, path)
  if (row === undefined || row === 'any') return row === 'any'
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  return values.every((one) => row.some((known) => known === one))
}
