/** The order of sections, and that none is there twice or of a kind that nobody knows. */
import { describe, expect, test } from 'bun:test'
import { SECTION, SECTIONS_IN_ORDER, Sections } from '../../../src/plugins/wasm/sections.ts'
import { type Bytes, binary, codeModule, named, section } from '../../fixtures/wasm/binaries.ts'
import { metered, refusal } from '../../fixtures/wasm/metering.ts'

const EMPTY: Bytes = [0]

function read(...sections: readonly Bytes[]): Sections {
  return new Sections(binary(...sections), 'p.wasm')
}

describe('sections', () => {
  test('are found wherever custom ones stand between them', () => {
    const note = section(0, named('note'))
    const sections = read(note, section(1, [1, 0x60, 0, 0]), note, section(3, [2, 0, 0]), note)
    expect(sections.count('types', 9)).toBe(1)
    expect(sections.count('functions', 9)).toBe(2)
    expect(sections.reader('code')).toBeNull()
    expect(sections.count('code', 9)).toBe(0)
  })

  test('each kind may stand before every later one, and behind none of them', () => {
    for (const [place, name] of SECTIONS_IN_ORDER.entries()) {
      for (const later of SECTIONS_IN_ORDER.slice(place + 1)) {
        const first = section(SECTION[name], EMPTY)
        const second = section(SECTION[later], EMPTY)
        expect(read(first, second).reader(later)).not.toBeNull()
        expect(() => read(second, first)).toThrow(`its ${name} section is out of order`)
      }
      const twice = section(SECTION[name], EMPTY)
      expect(() => read(twice, twice)).toThrow(`its ${name} section is there twice`)
    }
  })

  test('of tags, or of no known kind, are refused', () => {
    expect(() => read(section(13, EMPTY))).toThrow('it uses exception handling')
    expect(() => read(section(14, EMPTY))).toThrow('14 is the number of no section')
  })

  test('that end beyond the file, and custom ones without a name, are refused', () => {
    expect(() => read([1, 5, 0])).toThrow('cut short')
    expect(() => read([1])).toThrow('cut short')
    expect(() => read(section(0, []))).toThrow('cut short')
    expect(() => read(section(0, [1, 0xff]))).toThrow('not UTF-8')
  })

  test('with more than they hold are refused, whatever their kind', () => {
    expect(refusal(binary(section(1, [0, 0])))).toContain('its types is longer')
    for (const id of [2, 3, 4, 5, 6, 7, 9, 10, 11]) {
      expect(refusal(binary(section(id, [0, 0])))).toContain('longer than what it holds')
    }
    expect(refusal(binary(section(12, [0, 0])))).toContain('longer than what it holds')
    expect(refusal(codeModule([], { start: [0, 0] }))).toContain('start is longer')
  })
})

test('what is no module is refused, and told what the path must name', () => {
  for (const bytes of [
    new Uint8Array(0),
    new TextEncoder().encode('#!/bin/sh'),
    binary().slice(1),
  ]) {
    expect(refusal(bytes)).toContain('not a WebAssembly 1.0 module; `localPath` must name')
  }
  const component = binary()
  component[4] = 0x0d
  expect(refusal(component)).toContain('not a WebAssembly 1.0 module')
})

test('custom sections are left out of what is compiled', () => {
  const whole = binary(section(0, [...named('name'), ...Array<number>(500).fill(7)]))
  const module = new WebAssembly.Module(metered(whole).bytes)
  expect(WebAssembly.Module.customSections(module, 'name')).toEqual([])
  expect(metered(whole).bytes.length).toBe(metered(binary()).bytes.length)
})
