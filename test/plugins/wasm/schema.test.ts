/** The schema of a plugin's configuration: what it checks, fills in, and refuses to pretend. */
import { describe, expect, test } from 'bun:test'
import { SCHEMA_DEPTH_MAX } from '../../../src/plugins/wasm/limits.ts'
import { fillDefaults, firstFlaw, parseConfigSchema } from '../../../src/plugins/wasm/schema.ts'

function flaw(schema: unknown, value: unknown): string | null {
  const parsed = parseConfigSchema(schema, 'p: config')
  return firstFlaw(fillDefaults(parsed, value), parsed, 'config')
}

function filled(schema: unknown, value: unknown): unknown {
  return fillDefaults(parseConfigSchema(schema, 'p: config'), value)
}

const a = (schema: unknown) => ({ type: 'object', properties: { a: schema } })

describe('values', () => {
  const fits: readonly (readonly [unknown, unknown])[] = [
    [a({ type: 'string' }), { a: 'x', other: 1 }],
    [a({ type: ['string', 'null'] }), { a: null }],
    [a({ type: 'number' }), { a: 3 }],
    [a({ type: 'integer', minimum: 1, maximum: 3 }), { a: 3 }],
    [a({ enum: [1, 'x', { y: 2 }] }), { a: { y: 2 } }],
    [a({ type: 'array', items: { type: 'boolean' } }), { a: [true, false] }],
    [a({ minLength: 2, maxLength: 2 }), { a: '🐘🐘' }],
    [{ additionalProperties: { type: 'integer' } }, { x: 1 }],
    [{ title: 'T', description: 'D', $comment: 'C', examples: [1] }, {}],
  ]
  for (const [schema, value] of fits) {
    test(`${JSON.stringify(value)} fits ${JSON.stringify(schema)}`, () => {
      expect(flaw(schema, value)).toBeNull()
    })
  }

  const unfit: readonly (readonly [unknown, unknown, string])[] = [
    [a({ type: 'string' }), { a: 1 }, 'config.a must be string, not integer'],
    [a({ type: 'integer' }), { a: 1.5 }, 'config.a must be integer, not number'],
    [a({ type: 'object' }), { a: [] }, 'config.a must be object, not array'],
    [a({ minimum: 2 }), { a: 1 }, 'config.a must be at least 2'],
    [a({ maximum: 2 }), { a: 3 }, 'config.a must be at most 2'],
    [a({ enum: ['x', 'y'] }), { a: 'z' }, 'config.a must be one of ["x","y"]'],
    [a({ minLength: 2 }), { a: 'x' }, 'config.a must have at least 2 characters'],
    [a({ maxLength: 1 }), { a: 'xy' }, 'config.a must have at most 1 characters'],
    [a({ pattern: '^x+$' }), { a: 'xy' }, 'config.a must match ^x+$'],
    [a({ items: { type: 'string' } }), { a: ['x', 1] }, 'config.a[1] must be string, not integer'],
    [{ required: ['q'] }, {}, 'config.q is required'],
    [
      { properties: { x: {}, y: {} }, additionalProperties: false },
      { z: 1 },
      'config.z is unknown; known: x, y',
    ],
    [
      { additionalProperties: { type: 'string' } },
      { z: 1 },
      'config.z must be string, not integer',
    ],
    [a({ properties: { b: { type: 'null' } } }), { a: { b: 0 } }, 'config.a.b must be null'],
    [
      { additionalProperties: false },
      JSON.parse('{"__proto__":1}'),
      'config.__proto__ is unknown; known: nothing',
    ],
  ]
  for (const [schema, value, sentence] of unfit) {
    test(`${JSON.stringify(value)} does not fit ${JSON.stringify(schema)}`, () => {
      expect(flaw(schema, value)).toStartWith(sentence)
    })
  }
})

describe('defaults', () => {
  test('are filled in where nothing is set, at every depth', () => {
    const inner = { type: 'object', default: {}, properties: { c: { default: [1] } } }
    const schema = { properties: { a: { default: 1 }, b: inner, d: { type: 'string' } } }
    expect(filled(schema, {})).toEqual({ a: 1, b: { c: [1] } })
    expect(filled(schema, { a: null, b: { c: 2 }, e: 3 })).toEqual({ a: null, b: { c: 2 }, e: 3 })
  })

  test('reach into lists and further properties', () => {
    const item = { properties: { x: { default: 1 } } }
    const schema = { properties: { l: { items: item } }, additionalProperties: item }
    expect(filled(schema, { l: [{}, { x: 2 }], m: {} })).toEqual({
      l: [{ x: 1 }, { x: 2 }],
      m: { x: 1 },
    })
  })

  test('satisfy what is required', () => {
    expect(flaw({ required: ['a'], properties: { a: { default: 1 } } }, {})).toBeNull()
  })

  test('do not change what they are filled into', () => {
    const value = {}
    filled(a({ default: 1 }), value)
    expect(value).toEqual({})
  })
})

describe('a schema is refused', () => {
  let deep: unknown = {}
  for (let depth = 0; depth <= SCHEMA_DEPTH_MAX; depth++) deep = { items: deep }
  const refused: readonly (readonly [string, unknown, string])[] = [
    ['for keywords that would be ignored', a({ oneOf: [], format: 'x' }), 'oneOf, format'],
    ['for an unknown type', a({ type: 'text' }), 'p: config.properties.a.type must be one of'],
    ['for a pattern that is none', a({ pattern: '(' }), 'properties.a.pattern must be a regular'],
    ['for a limit that is no number', a({ minimum: '1' }), 'properties.a.minimum must be a number'],
    ['for a list that is none', a({ enum: 'x' }), 'properties.a.enum must be a list'],
    ['for names that are none', { required: [1] }, 'required must be a list'],
    ['for properties that are none', { properties: [] }, 'properties must be an object'],
    ['where it is no object', a('string'), 'properties.a must be an object'],
    [
      'for a default that does not fit',
      a({ type: 'string', default: 1 }),
      'default must be string',
    ],
    ['when nested too deep', deep, 'nests deeper than'],
  ]
  for (const [why, schema, sentence] of refused) {
    test(why, () => {
      expect(() => parseConfigSchema(schema, 'p: config')).toThrow(sentence)
    })
  }
})
