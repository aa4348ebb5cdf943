/** Fields travel from plugin to plugin, as long as they are true. */
import { expect, test } from 'bun:test'
import { carry, fieldsFor } from '../../../src/plugins/grpc/carried.ts'
import { carriedOf, query } from '../../fixtures/grpc/surroundings.ts'

const REQUEST = query('select 1')
const RESULT = {
  client: { local: 'a', remote: 'b' },
  request: REQUEST,
  error: '',
  __signals__: [],
  query: 'eyJTdHJpbmciOiJzZWxlY3QgMSJ9',
  'my-plugin': { seen: true },
}

test('what a plugin added travels; what the hook itself has does not', () => {
  const carried = carriedOf()
  carry(RESULT, REQUEST, carried)
  expect(fieldsFor(REQUEST.slice(), carried)).toEqual({
    query: 'eyJTdHJpbmciOiJzZWxlY3QgMSJ9',
    'my-plugin': { seen: true },
  })
})

test('what was parsed from bytes that are others now is dropped, the rest travels on', () => {
  const carried = carriedOf()
  carry(RESULT, REQUEST, carried)
  expect(fieldsFor(query('select 2'), carried)).toEqual({ 'my-plugin': { seen: true } })
})

test('a plugin that adds nothing leaves nothing, also of what came before', () => {
  const carried = carriedOf()
  carry(RESULT, REQUEST, carried)
  carry({ request: REQUEST, error: '' }, REQUEST, carried)
  expect(carried).toEqual({ fields: null, about: null })
  expect(fieldsFor(REQUEST, carried)).toEqual({})
})

test('the bytes are remembered as a copy: they were only borrowed', () => {
  const carried = carriedOf()
  const borrowed = REQUEST.slice()
  carry(RESULT, borrowed, carried)
  borrowed.fill(0)
  expect(fieldsFor(REQUEST, carried)).toHaveProperty('query')
})

test('fields of any type that another step left are made fit for the wire', () => {
  const carried = { fields: { n: 5n, f: () => 1, nested: { at: new Date(0) } }, about: REQUEST }
  expect(fieldsFor(REQUEST, carried)).toEqual({ n: 5, f: null, nested: { at: {} } })
})
