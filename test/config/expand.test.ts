/** Variables and secret files inside values. */
import { describe, expect, test } from 'bun:test'
import { expanded, fromVariable, type Sources, withVariables } from '../../src/config/expand.ts'

const PLAIN = { secret: false, item: false }
const SECRET = { secret: true, item: false }
const SECRET_ITEM = { secret: true, item: true }

const sources: Sources = {
  env: { A: 'one', EMPTY: '', FOLDER: 'sub', NESTED: '${' },
  folder: '/etc/postern',
  readFile: (path) => {
    if (path === '/etc/postern/pw') return { kind: 'text', text: '  hunter2\n' }
    if (path === '/etc/postern/sub/pw') return { kind: 'text', text: 'inner' }
    if (path === '/run/pw') return { kind: 'text', text: 'absolute\n' }
    if (path === '/etc/postern/closed') return { kind: 'refused', message: 'permission denied' }
    return { kind: 'absent' }
  },
}

const text = (value: string) => ({ kind: 'text' as const, text: value })
const dollar = '$'

describe('variables', () => {
  test('are put in their places, each once', () => {
    expect(withVariables(`${dollar}{A}:${dollar}{A}`, sources.env)).toEqual(text('one:one'))
    expect(withVariables(`x${dollar}{EMPTY}y`, sources.env)).toEqual(text('xy'))
    expect(withVariables(`${dollar}{NESTED}A}`, sources.env)).toEqual(text(`${dollar}{A}`))
  })

  test('that are not set are named', () => {
    expect(withVariables(`${dollar}{NOPE}`, sources.env)).toEqual({
      kind: 'refused',
      message: 'needs the environment variable NOPE, which is not set',
    })
  })

  test('leave other dollar signs alone, and two before a brace mean one', () => {
    expect(withVariables('$5 $A $', sources.env)).toEqual(text('$5 $A $'))
    expect(withVariables(`$${dollar}{A}`, sources.env)).toEqual(text(`${dollar}{A}`))
  })

  test('in the manner of a shell are refused, not passed on', () => {
    for (const written of ['{A:-x}', '{}', '{', '{1}', '{A']) {
      expect(withVariables(dollar + written, sources.env).kind).toBe('refused')
    }
  })
})

describe('files', () => {
  test('are read for secrets, from the folder of the configuration, without white space', () => {
    expect(expanded('file:pw', SECRET, sources)).toEqual(text('hunter2'))
    expect(expanded(`file:${dollar}{FOLDER}/pw`, SECRET, sources)).toEqual(text('inner'))
    expect(expanded('file:/run/pw', SECRET, sources)).toEqual(text('absolute'))
  })

  test('are read behind the name of a variable for a plugin', () => {
    expect(expanded('PGPASSWORD=file:pw', SECRET_ITEM, sources)).toEqual(text('PGPASSWORD=hunter2'))
    expect(expanded('URL=http://x?a=file:pw', SECRET_ITEM, sources)).toEqual(
      text('URL=http://x?a=file:pw'),
    )
  })

  test('are not read for keys that are no secrets', () => {
    expect(expanded('file:pw', PLAIN, sources)).toEqual(text('file:pw'))
  })

  test('that cannot be read are refused by name, with the reason', () => {
    expect(expanded('file:gone', SECRET, sources)).toEqual({
      kind: 'refused',
      message: 'needs the file gone: there is no such file',
    })
    expect(expanded('file:closed', SECRET, sources)).toEqual({
      kind: 'refused',
      message: 'needs the file closed: permission denied',
    })
  })

  test('may be named by a variable of ours, whose value is otherwise taken as it is', () => {
    expect(fromVariable('file:pw', true, sources)).toEqual(text('hunter2'))
    expect(fromVariable('file:pw', false, sources)).toEqual(text('file:pw'))
    expect(fromVariable(`p${dollar}{A}`, true, sources)).toEqual(text(`p${dollar}{A}`))
  })
})
