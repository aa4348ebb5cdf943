/** `postern plugin …`: the plugins of the running gateway, or of its files, and their checksums. */
import { askControl } from '../admin/control-client.ts'
import { type PluginReport, parsePluginReports } from '../admin/report.ts'
import { findInstances } from '../admin/run-folder.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'
import { type Cell, renderTable } from './table.ts'

const LIST_OPTIONS = {
  json: { type: 'boolean' },
  socket: { type: 'string' },
  config: { type: 'string', short: 'c' },
  'plugin-config': { type: 'string', short: 'p' },
} as const

/**
 * Lists the plugins of the running gateway; with -c or -p, or where none runs, those of the files,
 * whose checksums are compared and whose WASM manifests are read.
 */
export async function pluginList(argv: readonly string[], io: Io): Promise<number> {
  const { values } = readFlags(argv, LIST_OPTIONS)
  const named = values.config ?? values['plugin-config']
  if (values.socket !== undefined && named !== undefined) {
    throw new GatewayError('USAGE', 'either --socket or files (-c, -p), not both')
  }
  const fromFiles = named !== undefined
  if (!fromFiles && (values.socket !== undefined || findInstances(io.env).length > 0)) {
    const answer = await askControl('/plugins', { env: io.env, socket: values.socket })
    print({ running: true, plugins: parsed(answer) }, io, values.json)
    return 0
  }
  if (!fromFiles) io.err('no gateway is running; this is what the files say')
  const { readPluginFiles } = await import('./plugin-files.ts')
  const plugins = await readPluginFiles({
    configPath: values.config,
    pluginsPath: values['plugin-config'],
    env: io.env,
  })
  print({ running: false, plugins }, io, values.json)
  return 0
}

function parsed(answer: unknown): readonly PluginReport[] {
  try {
    return parsePluginReports(answer)
  } catch (cause) {
    const what = `the gateway's answer is not understood (${sentenceOf(cause)})`
    throw new GatewayError('CONTROL_UNREACHABLE', `${what}; is it another version?`)
  }
}

interface Listing {
  /** False where the files were read and no gateway was asked. */
  readonly running: boolean
  readonly plugins: readonly PluginReport[]
}

function print(listing: Listing, io: Io, json: boolean | undefined): void {
  if (json) io.out(JSON.stringify(listing, null, 2))
  else io.out(listing.plugins.length === 0 ? 'no plugins' : listingText(listing, io.colour))
}

function listingText({ running, plugins }: Listing, colours: boolean): string {
  const counters = running ? ['RESTARTS', 'CALLS', 'FAILED', 'µs A CALL'] : []
  const heads = ['PRIORITY', 'NAME', 'VERSION', 'RUNTIME', 'STATE', ...counters, 'HOOKS']
  const rows = plugins.map((plugin) => [
    plugin.priority,
    plugin.name,
    plugin.version,
    plugin.runtime,
    stateCell(plugin.state),
    ...(running ? [plugin.restarts, plugin.calls, plugin.failures, microsACall(plugin)] : []),
    plugin.hooks.join(' '),
  ])
  const table = renderTable(heads, rows, colours)
  const failed = plugins.filter(({ lastError }) => lastError !== '')
  if (failed.length === 0) return table
  const errors = failed.map((plugin) => [
    plugin.name === '' ? plugin.path : plugin.name,
    nextTry(plugin),
    plugin.lastError,
  ])
  return `${table}\n\n${renderTable(['NAME', 'NEXT TRY', 'LAST ERROR'], errors, colours)}`
}

function nextTry({ nextTryInMs }: PluginReport): string {
  return nextTryInMs === null ? '-' : `in ${(nextTryInMs / 1000).toFixed(1)} s`
}

function stateCell(state: string): Cell {
  if (state === 'ready') return { text: state, colour: 'green' }
  if (state === 'not running' || state === 'disabled') return { text: state, colour: 'gray' }
  if (state === 'starting' || state === 'restarting') return { text: state, colour: 'yellow' }
  return { text: state, colour: 'red' }
}

function microsACall({ calls, callMicros }: PluginReport): number {
  return calls === 0 ? 0 : Math.round((callMicros / calls) * 10) / 10
}

/** Prints what `sha256sum` prints; returns 1 where a file could not be read. */
export async function pluginChecksum(argv: readonly string[], io: Io): Promise<number> {
  const { positionals } = readFlags(argv, {}, 'FILE')
  if (positionals.length === 0) {
    throw new GatewayError('USAGE', 'name a file: postern plugin checksum FILE')
  }
  const { checksumOf } = await import('./checksum.ts')
  let failed = false
  for (const file of positionals) {
    try {
      io.out(checksumLine(await checksumOf(file), file))
    } catch (error) {
      failed = true
      io.err(`postern plugin checksum: ${sentenceOf(error)}`)
    }
  }
  return failed ? 1 : 0
}

/** A name that would break the line is escaped, and the line says so by its first character. */
function checksumLine(checksum: string, file: string): string {
  const escaped = file.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/\r/g, '\\r')
  return `${escaped === file ? '' : '\\'}${checksum}  ${escaped}`
}
