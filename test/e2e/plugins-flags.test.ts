/** `--plugin FILE[@sha256:HEX]`: plugins of a gateway that has no files. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { runPostern, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { buildPlugins, fixture, linesWith, listed, login, sha256 } from './plugins-scene.ts'

const WRONG = 'ab'.repeat(32)

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

describe('--plugin', () => {
  const upstream = () => ['--upstream', `127.0.0.1:${postgres.port}`]
  const path = fixture('verdicts.wasm')
  const run = (flag: string, ...more: string[]) =>
    runPostern(['run', '--check', ...upstream(), '--plugin', flag, ...more])

  test('takes a file and its checksum, in either case of letters', async () => {
    for (const digest of [sha256(path), sha256(path).toUpperCase()]) {
      await using gateway = await startGateway({
        args: [...upstream(), '--plugin', `${path}@sha256:${digest}`],
      })
      using wire = await login(gateway, postgres)
      const replies = await wire.query('select 1 /*deny*/')
      expect(replies[0]).toMatchObject({ name: 'ErrorResponse', code: '42501' })
    }
  })

  test('runs several of both runtimes in the order of the flags', async () => {
    const flags = [path, fixture('scripted')].flatMap((file) => [
      '--plugin',
      `${file}@sha256:${sha256(file)}`,
    ])
    await using gateway = await startGateway({ args: [...upstream(), ...flags] })
    expect((await listed(gateway)).map(({ name, state }) => [name, state])).toEqual([
      ['verdicts', 'ready'],
      ['scripted', 'ready'],
    ])
    using wire = await login(gateway, postgres)
    expect((await wire.query('select 1 /*deny*/'))[0]).toMatchObject({ code: '42501' })
  })

  test('without a checksum is loaded with --dev only', async () => {
    const told = await run(path)
    expect(`${told.stdout}${told.stderr}`).toContain(`checksum: ${sha256(path)}`)
    await using gateway = await startGateway({ args: [...upstream(), '--dev', '--plugin', path] })
    expect((await listed(gateway))[0]).toMatchObject({ name: 'verdicts', state: 'ready' })
  })

  test('with another checksum is refused, and with --dev warned of', async () => {
    const told = await run(`${path}@sha256:${WRONG}`)
    for (const digest of [WRONG, sha256(path)]) {
      expect(`${told.stdout}${told.stderr}`).toContain(digest)
    }
    const flag = ['--plugin', `${path}@sha256:${WRONG}`]
    await using gateway = await startGateway({ args: [...upstream(), '--dev', ...flag] })
    expect((await listed(gateway))[0]).toMatchObject({ name: 'verdicts', state: 'ready' })
    expect(linesWith(gateway.log(), [' WRN ', WRONG, sha256(path)])).toHaveLength(1)
  })

  test('that cannot be read is a misuse', async () => {
    for (const flag of [`${path}@sha256:beef`, `@sha256:${WRONG}`, `${path}@sha256:`]) {
      const { status, stderr } = await run(flag)
      expect({ flag, status }).toEqual({ flag, status: 2 })
      expect(stderr).toContain('--plugin')
    }
    const stray = await runPostern(['run', '--plugin', path])
    expect(stray).toMatchObject({ status: 2 })
    expect(stray.stderr).toContain('--plugin goes with --upstream')
  })

  test('of plugins that call themselves the same refuses the start', async () => {
    const flag = ['--plugin', `${path}@sha256:${sha256(path)}`]
    const told = await runPostern(['run', '--check', ...upstream(), ...flag, ...flag])
    expect(told.status).toBe(1)
    expect(told.stderr).toContain('two plugins are named "verdicts": give each its own name')
  })
})
