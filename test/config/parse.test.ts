/** Issues of the schema become problems with their places. */
import { expect, test } from 'bun:test'
import { Draft, type WrittenMap } from '../../src/config/draft.ts'
import { parseDraft } from '../../src/config/parse.ts'
import { pluginsSchema } from '../../src/config/plugin-schema.ts'
import { Problems } from '../../src/config/problem.ts'

const OTHER = { file: 'the global file', keys: ['servers'] }

function parsed(root: WrittenMap) {
  const problems = new Problems()
  const value = parseDraft(new Draft('f', root), pluginsSchema, OTHER, problems)
  const found = problems.any() ? problems.error().problems : []
  return { value, found: found.map(({ path, message, nearest }) => [path, message, nearest]) }
}

test('a valid draft gives its value and no problem', () => {
  const { value, found } = parsed({ timeout: '2s' })
  expect(value?.timeout).toBe(2000)
  expect(found).toEqual([])
})

test('unknown keys lead to the closest one, or into the other file', () => {
  const { value, found } = parsed({ timout: '2s', servers: {} })
  expect(value).toBeUndefined()
  expect(found).toEqual([
    ['timout', '"timout" is no key at the top', 'timeout'],
    ['servers', '"servers" is no key at the top; it belongs into the global file', undefined],
  ])
})

test('a problem inside an entry names the entry', () => {
  const entry = { name: 'auth', localPath: 'x', timeout: 'soon' }
  expect(parsed({ plugins: [entry] }).found).toEqual([
    [
      'plugins[0].timeout',
      expect.stringMatching(/^plugins\[0\] \(auth\)\.timeout must/),
      undefined,
    ],
  ])
})
