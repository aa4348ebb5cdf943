import { expect, test } from 'bun:test'
import type { PluginReport } from '../../src/admin/report.ts'
import {
  parsePluginReports,
  parseReloadReport,
  parseStatusReport,
  parseUpgradeReport,
} from '../../src/admin/report.ts'
import type { PluginStatus } from '../../src/plugins/plugin.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from './reports.ts'

function overTheWire(value: unknown): unknown {
  const read: unknown = JSON.parse(JSON.stringify(value))
  return read
}

test('a report survives the way over the socket', () => {
  expect(parseStatusReport(overTheWire(STATUS))).toEqual(STATUS)
  expect(parsePluginReports(overTheWire(PLUGINS))).toEqual(PLUGINS)
  expect(parseReloadReport(overTheWire(RELOADED))).toEqual(RELOADED)
  expect(() => parseReloadReport({ ...RELOADED, outcome: 'maybe' })).toThrow('reload.outcome')
  expect(parseUpgradeReport(overTheWire(UPGRADED))).toEqual(UPGRADED)
  expect(() => parseUpgradeReport({ ...UPGRADED, outcome: 'maybe' })).toThrow('upgrade.outcome')
})

test('upgrades are told of by those that know of them', () => {
  const earlier = { processes: 1, sessions: 3 }
  const upgrades = { done: 2, refused: 1, lastError: 'why', isUnderWay: true, earlier }
  expect(parseStatusReport(overTheWire({ ...STATUS, upgrades })).upgrades).toEqual(upgrades)
  expect(parseStatusReport(STATUS).upgrades).toBeUndefined()
})

test('keys of a newer version are passed over', () => {
  expect(parseStatusReport({ ...STATUS, fresh: 1 })).toEqual(STATUS)
})

test.each([
  [null, /status is no object/],
  [[], /status is no object/],
  [{ ...STATUS, pid: '1' }, /status\.pid is not number/],
  [{ ...STATUS, state: 'asleep' }, /status\.state is "asleep"/],
  [{ ...STATUS, listeners: {} }, /status\.listeners is not a list/],
  [{ ...STATUS, listeners: [1] }, /status\.listeners\[0\] is no object/],
  [{ ...STATUS, upstreams: [{}] }, /status\.upstreams\[0\]\.group is not text/],
  [{ ...STATUS, sessions: null }, /status\.sessions is no object/],
])('a report that is not as expected is refused, naming the key', (report, message) => {
  expect(() => parseStatusReport(report)).toThrow(message)
})

test('a list of plugins that is none is refused', () => {
  expect(() => parsePluginReports({})).toThrow(/answer\.plugins is not a list/)
  expect(() => parsePluginReports([{ name: 1 }])).toThrow(/plugins\[0\]\.name is not text/)
})

test("a plugin's status can be told as it is", () => {
  const told = (status: PluginStatus): PluginReport => status
  expect(told).toBeFunction()
})
