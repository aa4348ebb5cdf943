import { expect, test } from 'bun:test'
import { versionCommand } from '../../src/cli/version.ts'
import { record, thrownBy } from './recorder.ts'

test('version, commit, Bun and platform are told', async () => {
  const io = record()
  expect(await versionCommand([], io)).toBe(0)
  const platform = `${process.platform}-${process.arch}`
  expect(io.written).toEqual([`postern dev (commit dev, Bun ${Bun.version}, ${platform})`])
})

test('scripts get the same as JSON', async () => {
  const io = record()
  await versionCommand(['--json'], io)
  expect(JSON.parse(io.written.join(''))).toEqual({
    version: 'dev',
    commit: 'dev',
    bun: Bun.version,
    platform: `${process.platform}-${process.arch}`,
  })
})

test('an unknown flag is refused, naming the nearest', async () => {
  expect(await thrownBy(versionCommand(['--jsn'], record()))).toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('did you mean --json?'),
  })
})

test('it loads nothing that takes time: no dependency at all', async () => {
  const built = await Bun.build({
    entrypoints: [`${import.meta.dir}/../../src/cli/version.ts`],
    target: 'bun',
  })
  const text = (await built.outputs[0]?.text()) ?? ''
  expect(text.length).toBeGreaterThan(100)
  expect(text).not.toContain('node_modules')
  expect(text.length).toBeLessThan(20_000)
})
