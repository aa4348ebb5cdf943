/**
 * What Prometheus wants to know of every process, and who we are. prom-client's own collection is
 * not used: on Bun most of it is empty, and the rest costs milliseconds a scrape.
 */
import { readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import type { Registry } from 'prom-client'
import { commit, version } from '../base/build.ts'
import { type FamilyValue, registerFamily } from './family.ts'

export function registerProcessMetrics(registry: Registry): void {
  const startedAt = Date.now() / 1000
  const processStartedAt = startedAt - process.uptime()
  const build = { version, commit, bun: Bun.version }
  const gauges: readonly (readonly [string, string, () => FamilyValue['value']])[] = [
    [
      'postern_start_time_seconds',
      'When the gateway started, in seconds since 1970.',
      () => startedAt,
    ],
    [
      'process_start_time_seconds',
      'When the process started, in seconds since 1970.',
      () => processStartedAt,
    ],
    ['process_resident_memory_bytes', 'Memory of the process that is in RAM.', residentBytes],
    ['process_max_fds', 'File descriptors the process may open.', readMaxFds],
  ]
  registerFamily(
    registry,
    { name: 'postern_build_info', type: 'gauge', help: 'What runs here; the value is 1.' },
    () => [{ labels: build, value: 1 }],
  )
  for (const [name, help, read] of gauges) {
    registerFamily(registry, { name, type: 'gauge', help }, () => [{ labels: {}, value: read() }])
  }
  registerFamily(
    registry,
    {
      name: 'process_cpu_seconds_total',
      type: 'counter',
      help: 'Processor time used, of user and system together.',
    },
    () => [{ labels: {}, value: cpuSeconds() }],
  )
  registerFamily(
    registry,
    { name: 'process_open_fds', type: 'gauge', help: 'File descriptors open now.' },
    async () => [{ labels: {}, value: await countOpenFds() }],
  )
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000_000
}

/** NaN where no descriptor is left to read it with: the rest of the page is wanted then most. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return Number.NaN
  }
}

/** NaN where the system does not tell. */
function readMaxFds(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.NaN)
  } catch {
    return Number.NaN
  }
}

/** Since Linux 6.2 the folder's size is the count; before, the names are counted off the loop. */
async function countOpenFds(): Promise<number> {
  try {
    const size = statSync('/proc/self/fd').size
    return size > 0 ? size : (await readdir('/proc/self/fd')).length
  } catch {
    return Number.NaN
  }
}
