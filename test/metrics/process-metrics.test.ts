import { expect, test } from 'bun:test'
import { closeSync, openSync } from 'node:fs'
import { Registry } from 'prom-client'
import { registerProcessMetrics } from '../../src/metrics/process-metrics.ts'

function numberOf(page: string, name: string): number {
  const line = page.split('\n').find((text) => text.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1))
}

test('a process tells its age, memory, processor time and descriptors', async () => {
  const registry = new Registry()
  registerProcessMetrics(registry)
  const page = await registry.metrics()
  const now = Date.now() / 1000
  expect(numberOf(page, 'process_start_time_seconds')).toBeWithin(now - 3600, now)
  expect(numberOf(page, 'postern_start_time_seconds')).toBeWithin(now - 60, now + 1)
  expect(numberOf(page, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
  expect(numberOf(page, 'process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(numberOf(page, 'process_max_fds')).toBeGreaterThan(10)
  expect(page).toContain(`postern_build_info{version="dev",commit="dev",bun="${Bun.version}"} 1`)
})

test('a descriptor opened is a descriptor counted', async () => {
  const registry = new Registry()
  registerProcessMetrics(registry)
  const before = numberOf(await registry.metrics(), 'process_open_fds')
  const opened = Array.from({ length: 20 }, () => openSync('/dev/null', 'r'))
  const after = numberOf(await registry.metrics(), 'process_open_fds')
  for (const descriptor of opened) closeSync(descriptor)
  expect(before).toBeGreaterThan(2)
  expect(after - before).toBeWithin(15, 26)
})
