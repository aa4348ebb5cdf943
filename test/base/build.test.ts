import { expect, test } from 'bun:test'
import { commit, version } from '../../src/base/build.ts'

test('sources that were not built call themselves dev', () => {
  expect([version, commit]).toEqual(['dev', 'dev'])
})

test('a build writes its version and commit in', async () => {
  const built = await Bun.build({
    entrypoints: [`${import.meta.dir}/../../src/base/build.ts`],
    define: { POSTERN_VERSION: '"1.2.3"', POSTERN_COMMIT: '"abcdef0"' },
  })
  const text = await built.outputs[0]?.text()
  expect(text).toContain('"1.2.3"')
  expect(text).toContain('"abcdef0"')
})
