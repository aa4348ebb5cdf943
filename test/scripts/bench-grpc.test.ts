/** Proves the arithmetic of the gRPC benches, and that they are what the options ask for. */
import { expect, test } from 'bun:test'
import { type CallRow, callTable } from '../bench/grpc.ts'
import type { HostName } from '../bench/grpc-hosts.ts'
import { type TrafficRow, totalMicros, trafficTable } from '../bench/grpc-traffic.ts'
import { readOptions } from '../bench/options.ts'

function call(host: HostName, round: number, perSecond: number, medianMicros: number): CallRow {
  const costs = { hostMicros: 30, pluginMicros: 40 }
  return { round, cell: '100 B × 1', host, perSecond, medianMicros, ...costs }
}

test('--grpc is a part of its own, with or without --json', () => {
  expect(readOptions(['--grpc'])).toMatchObject({ part: 'grpc', json: false })
  expect(readOptions(['--grpc', '--json'])).toMatchObject({ part: 'grpc', json: true })
  expect(readOptions([]).part).toBe('comparison')
})

test('calls are medians, and ratios the medians of those within each round', () => {
  const rows = [
    ...[call('go', 1, 100, 10), call('postern', 1, 150, 5)],
    ...[call('go', 2, 200, 20), call('postern', 2, 200, 10)],
    ...[call('go', 3, 50, 30), call('postern', 3, 100, 15)],
  ]
  const [, line = ''] = callTable(rows).split('\n')
  expect(line.split(/ {2,}/)).toEqual(
    ['100 B × 1', '100', '150', '1.50', '20', '10', '0.50', '30', '30', '1.00'].concat([
      '40',
      '40',
      '1.00',
    ]),
  )
})

test('a host that is missing has no figures, and nothing to be compared with', () => {
  const [, line = ''] = callTable([call('postern', 1, 150, 5)]).split('\n')
  expect(line).toContain('-')
  expect(line).not.toContain('NaN')
})

test('a transaction costs what gateway and plugin cost together', () => {
  const row: TrafficRow = {
    round: 1,
    cell: 'pgbench 8',
    perSecond: 500,
    directPerSecond: 1000,
    gatewayMicros: 80,
    pluginMicros: 90,
  }
  expect(totalMicros(row)).toBe(170)
  const [, line = ''] = trafficTable([row]).split('\n')
  expect(line.split(/ {2,}/)).toEqual(['pgbench 8', '500', '0.50', '80', '90', '170'])
})
