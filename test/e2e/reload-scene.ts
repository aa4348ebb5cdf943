/** What the tests of reloads share: files that are edited under a running gateway. */

import { expect } from 'bun:test'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseReloadReport, type ReloadReport, type StatusReport } from '../../src/admin/report.ts'
import type { CommandResult } from '../kit/command.ts'
import { type RunningGateway, runPostern } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { statusOf } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import { login } from './plugins-scene.ts'

type Tree = Record<string, unknown>

export const GLOBAL = 'postern.yaml'
export const PLUGINS = 'postern_plugins.yaml'

/** The path of one of the files that the gateway was started with. */
export function fileOf({ folder }: RunningGateway, name: string): string {
  return join(dirname(folder), name)
}

/** Puts a text into the place of a file, as careful programs do it. */
export function replaceFile(path: string, text: string | Uint8Array, mode = 0o644): void {
  writeFileSync(`${path}.new`, text, { mode })
  renameSync(`${path}.new`, path)
}

/** Changes the tree of a file of the gateway's. */
export function edit(gateway: RunningGateway, name: string, change: (tree: Tree) => void): void {
  const path = fileOf(gateway, name)
  const tree: Tree = JSON.parse(readFileSync(path, 'utf8'))
  change(tree)
  replaceFile(path, JSON.stringify(tree))
}

/** The section at a path of keys, made where it is missing. */
export function at(tree: Tree, ...keys: readonly string[]): Tree {
  let section = tree
  for (const key of keys) {
    section[key] ??= {}
    section = section[key] as Tree
  }
  return section
}

/** Sets the keys of the entry of a plugin. */
export function editEntry(gateway: RunningGateway, keys: Tree, position = 0): void {
  edit(gateway, PLUGINS, (tree) => {
    const entries = tree['plugins'] as Tree[]
    entries[position] = { ...entries[position], ...keys }
  })
}

export function runReload(
  { env }: RunningGateway,
  args: readonly string[] = [],
): Promise<CommandResult> {
  return runPostern(['reload', ...args], { env })
}

/** Reloads, which must be done; returns what has changed. */
export async function reload(gateway: RunningGateway): Promise<ReloadReport> {
  const { status, stdout, stderr } = await runReload(gateway, ['--json'])
  if (status !== 0) throw new Error(`reload: exit status ${status}\n${stdout}${stderr}`)
  return parseReloadReport(JSON.parse(stdout))
}

/** Reloads through the control socket itself: for hundreds in a row a process each is too dear. */
export async function reloadQuickly({ env }: RunningGateway): Promise<ReloadReport> {
  const { findInstances } = await import('../../src/admin/run-folder.ts')
  const [instance] = findInstances({ XDG_RUNTIME_DIR: env['XDG_RUNTIME_DIR'] })
  if (instance === undefined) throw new Error('the gateway has no control socket')
  const answer = await fetch('http://postern/reload', {
    method: 'POST',
    unix: instance.controlSocket,
    keepalive: false,
  })
  return parseReloadReport(await answer.json())
}

/** A module with another hash that does the same: behind it stands a section that nobody reads. */
export function otherModule(module: Uint8Array, mark: number): Uint8Array {
  const name = new TextEncoder().encode(`mark-${String(mark).padStart(6, '0')}`)
  return new Uint8Array([...module, 0, name.length + 1, name.length, ...name])
}

export const RECONFIGURED = {
  severity: 'FATAL',
  code: '57P01',
  message: 'the configuration of the gateway has changed',
}

/** Whether this session is refused a statement. */
export async function isRefused(wire: Wire, sql: string): Promise<boolean> {
  return (await wire.query(sql)).some(({ name }) => name === 'ErrorResponse')
}

/** Refused with these words in what it says and in the log, while a session goes on. */
export async function mustRefuse(
  gateway: RunningGateway,
  postgres: PostgresServer,
  ...said: readonly string[]
): Promise<void> {
  using wire = await login(gateway, postgres)
  const before = await statusOf(gateway)
  const { status, stderr } = await runReload(gateway)
  expect(status).toBe(1)
  expect(stderr).toContain(`not reloaded, generation ${before.generation} goes on:`)
  for (const part of said) {
    expect(stderr).toContain(part)
    await gateway.logged(part)
  }
  expect(await wire.rows('select 1')).toEqual([['1']])
  const after = await statusOf(gateway)
  const addresses = ({ listeners }: StatusReport) => listeners.map(({ address }) => address)
  expect([after.generation, addresses(after)]).toEqual([before.generation, addresses(before)])
  expect(after.reloads.refused).toBe(before.reloads.refused + 1)
}
