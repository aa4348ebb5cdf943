/** The sections of a module: each at most once, in the order of the specification. */
import { BinaryReader } from './binary.ts'
import { featureFlaw } from './opcodes.ts'

/** The magic number and the version. */
export const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

/** Numbers of the sections. */
export const SECTION = {
  types: 1,
  imports: 2,
  functions: 3,
  tables: 4,
  memories: 5,
  globals: 6,
  exports: 7,
  start: 8,
  elements: 9,
  dataCount: 12,
  code: 10,
  data: 11,
} as const
export type SectionName = keyof typeof SECTION

const CUSTOM = 0
const TAGS = 13

/** Their names in the order in which they must come. */
export const SECTIONS_IN_ORDER: readonly SectionName[] = [
  'types',
  'imports',
  'functions',
  'tables',
  'memories',
  'globals',
  'exports',
  'start',
  'elements',
  'dataCount',
  'code',
  'data',
]

/** Where each section lies. Custom sections are passed over: nothing that runs is in them. */
export class Sections {
  readonly #bytes: Uint8Array
  readonly #where: string
  readonly #places = new Map<SectionName, readonly [start: number, end: number]>()

  constructor(bytes: Uint8Array, where: string) {
    this.#bytes = bytes
    this.#where = where
    const reader = new BinaryReader(bytes, 0, bytes.length, where)
    if (HEADER.some((byte, at) => bytes[at] !== byte)) {
      reader.fail(
        'not a WebAssembly 1.0 module; `localPath` must name the .wasm file of the plugin',
      )
    }
    reader.skip(HEADER.length)
    let last = -1
    while (!reader.done) last = this.#readSection(reader, last)
  }

  /** Notes one section; returns its place in the order, or `last` for a custom one. */
  #readSection(reader: BinaryReader, last: number): number {
    const id = reader.byte()
    const section = reader.section()
    if (id === CUSTOM) {
      section.name()
      return last
    }
    if (id === TAGS) reader.fail(featureFlaw('exception handling'))
    const place = SECTIONS_IN_ORDER.findIndex((name) => SECTION[name] === id)
    const name = SECTIONS_IN_ORDER[place]
    if (name === undefined) return reader.fail(`${id} is the number of no section`)
    if (place === last) reader.fail(`its ${name} section is there twice`)
    if (place < last) reader.fail(`its ${name} section is out of order`)
    this.#places.set(name, [section.at, section.end])
    return place
  }

  /** A new reader of a section, or null where the module has none. */
  reader(name: SectionName): BinaryReader | null {
    const place = this.#places.get(name)
    return place === undefined
      ? null
      : new BinaryReader(this.#bytes, place[0], place[1], this.#where)
  }

  /** How many items a section holds. */
  count(name: SectionName, most: number): number {
    return this.reader(name)?.count(name, most) ?? 0
  }
}
