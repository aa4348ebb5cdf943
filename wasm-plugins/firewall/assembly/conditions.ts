/**
 * Conditions that are the same for every row, as in `OR 1 = 1`: between a word that joins
 * conditions and the next one nothing is asked of a row, nor of a parameter. It is told token by
 * token, with nothing kept but the beginning of the present condition.
 */
import { isDigit } from '../../sdk/assembly/sql/characters'
import { from, isLiteral, to, token, Token, word } from '../../sdk/assembly/sql/tokens'
import { Word } from '../../sdk/assembly/sql/words'
import { equalsIgnoringCase, Slice, slice } from '../../sdk/assembly/slice'

/** How a condition without rows may be meant. */
export const enum Constant {
  /** It asks of rows or parameters, or is one that builders of SQL write: 1 = 1, FALSE. */
  None,
  /** One that people write seldom: AND 'a' = 'a'. */
  Odd,
  /** OR with something that holds for every row. */
  Always,
  /** WHERE with it alone. */
  Whole,
}

/** The word that leads to the present condition: OR, AND, WHERE, WHEN, HAVING; or None. */
let lead: Word = Word.None
/** Parentheses between the word and the condition. */
let opened: i32 = 0
/** Parentheses within the condition. */
let depth: i32 = 0
let atoms: i32 = 0
let isConstant: bool = true
let operators: i32 = 0
let left: Slice = 0
let right: Slice = 0
let sign: u8 = 0
let comparison: Slice = 0
let isNegated: bool = false
let isNullTest: bool = false
let hasTruth: bool = false
let hasFalsehood: bool = false
let isBetween: bool = false
let isNames: bool = false
/** True behind a name, which is a column's unless a parenthesis follows. */
let isPending: bool = false
let hasCall: bool = false
let isPlain: bool = true

export function beginConditions(): void {
  isClosing = false
  lead = Word.None
}

function begin(by: Word): void {
  lead = by
  opened = 0
  depth = 0
  atoms = 0
  operators = 0
  isConstant = true
  isNegated = false
  isNullTest = false
  hasTruth = false
  hasFalsehood = false
  isBetween = false
  isNames = false
  isPending = false
  hasCall = false
  isPlain = true
  left = 0
  right = 0
  comparison = 0
}

/** Tells of the condition that the present token ends, and takes the token itself. */
export function readCondition(): Constant {
  if (isClosing && token != Token.Close) {
    isClosing = false
    if (endsWhere()) return Constant.Whole
  }
  if (lead == Word.None) {
    if (isLead()) begin(word)
    return Constant.None
  }
  settle()
  if (depth > 0 && isInner()) {
    begin(word)
    return Constant.None
  }
  if (token == Token.Word && word == Word.And && isBetween) {
    isBetween = false
    return Constant.None
  }
  if (endsCondition()) {
    const found = judge()
    const next = isLead() ? word : Word.None
    lead = Word.None
    if (next != Word.None) begin(next)
    return found
  }
  take()
  return Constant.None
}

function isLead(): bool {
  if (token == Token.Operator) return false
  switch (word) {
    case Word.Or:
    case Word.And:
    case Word.Where:
    case Word.When:
    case Word.Having:
      return true
    default:
      return false
  }
}

/** A condition of its own within the present one: of CASE, or of another query. */
function isInner(): bool {
  return token == Token.Word && (word == Word.When || word == Word.Where || word == Word.Having)
}

function endsCondition(): bool {
  switch (token) {
    case Token.End:
    case Token.Semicolon:
      return true
    case Token.Comma:
      return depth == 0
    case Token.Close:
      if (depth == 0) return true
      depth--
      return false
    case Token.Word:
      return depth == 0 ? endsClause() : false
    default:
      return false
  }
}

function endsClause(): bool {
  switch (word) {
    case Word.Or:
    case Word.And:
    case Word.Where:
    case Word.When:
    case Word.Then:
    case Word.Having:
    case Word.Group:
    case Word.Order:
    case Word.Limit:
    case Word.Offset:
    case Word.Union:
    case Word.Except:
    case Word.Intersect:
    case Word.Returning:
    case Word.For:
    case Word.Fetch:
    case Word.Else:
    case Word.End:
      return true
    default:
      return false
  }
}

/** True within brackets that only group what leads to the condition. */
function isBare(): bool {
  return atoms == 0 && operators == 0 && depth == 0
}

function take(): void {
  switch (token) {
    case Token.Open:
      if (isBare()) opened++
      else {
        depth++
        isPlain = false
      }
      return
    case Token.Operator:
      return takeOperator()
    case Token.Word:
      return takeWord()
    case Token.Quoted:
    case Token.UnicodeQuoted:
      return isDotted ? goOn() : takeName()
    case Token.Parameter:
      isConstant = false
      return
    case Token.Dot:
      isDotted = true
      return
    default:
      if (isLiteral(token)) takeValue()
      else if (token != Token.Comma) isPlain = false
  }
}

function takeOperator(): void {
  const byte = load<u8>(from)
  const isSign = to - from == 1 && (byte == 0x2d || byte == 0x2b)
  if (isSign && (atoms == 0 || (operators == 1 && right == 0))) {
    sign = byte
    return
  }
  operators++
  if (operators == 1) comparison = slice(from, <i32>(to - from))
  else isPlain = false
}

function takeValue(): void {
  atoms++
  if (operators == 0 && atoms == 1) left = slice(from, <i32>(to - from))
  else if (operators == 1 && right == 0) right = slice(from, <i32>(to - from))
  else isPlain = false
  sign = 0
}

function takeName(): void {
  isPending = true
  takeValue()
}

/** Settles what the name before the present token was. */
function settle(): void {
  if (!isPending) return
  isPending = token == Token.Dot
  if (token == Token.Open) hasCall = true
  else if (token != Token.Dot) {
    isConstant = false
    isNames = true
  }
}

/** True behind the dot of a name that goes on. */
let isDotted: bool = false

function takeWord(): void {
  switch (word) {
    case Word.True:
      hasTruth = true
      return takeValue()
    case Word.False:
      hasFalsehood = true
      return takeValue()
    case Word.Null:
      if (isNullTest) atoms++
      else takeValue()
      return
    case Word.Is:
      isNullTest = true
      return
    case Word.Not:
      isNegated = !isNegated
      return
    case Word.Between:
      isBetween = true
      operators++
      isPlain = false
      return
    case Word.In:
    case Word.Like:
    case Word.Ilike:
    case Word.Similar:
    case Word.Any:
    case Word.All:
    case Word.Exists:
    case Word.Select:
      operators++
      isPlain = false
      return
    case Word.Case:
    case Word.Then:
    case Word.Else:
    case Word.End:
    case Word.As:
    case Word.From:
    case Word.Array:
      isPlain = false
      return
    default:
  }
  // Other keywords may be names of columns.
  if (isDotted) goOn()
  else takeName()
}

/** The whole of `t.a` is the operand. */
function goOn(): void {
  isDotted = false
  isPending = true
  if (operators == 0 && left != 0) left = joined(left)
  else if (operators == 1 && right != 0) right = joined(right)
}

function joined(operand: Slice): Slice {
  const ptr = <usize>(operand >> 32)
  return slice(ptr, <i32>(to - ptr))
}

function isSmall(operand: Slice): bool {
  const ptr = <usize>(operand >> 32)
  const length = <i32>(operand & 0xffff_ffff)
  return length == 1 && (load<u8>(ptr) == 0x30 || load<u8>(ptr) == 0x31)
}

function isNumber(operand: Slice): bool {
  return operand != 0 && isDigit(load<u8>(<usize>(operand >> 32)))
}

function isEqualSign(): bool {
  return (comparison & 0xffff_ffff) == 1 && load<u8>(<usize>(comparison >> 32)) == 0x3d
}

function isSame(): bool {
  return right != 0 && equalsIgnoringCase(left, right)
}

function judge(): Constant {
  isDotted = false
  if (atoms == 0) return Constant.None
  // A name is the same as itself, whatever the row.
  const isItself = isNames && isPlain && operators == 1 && isEqualSign() && isSame()
  if (!isConstant && !isItself) return Constant.None
  if (lead == Word.Where) return judgeWhole()
  if (lead == Word.Or) return judgeOr()
  return judgeOther(isItself)
}

/** WHERE with nothing behind it. */
function judgeWhole(): Constant {
  const holds = !hasFalsehood && (!isPlain || operators == 0 || isSame())
  if (holds && opened > 0 && token == Token.Close) isClosing = true
  else if (holds && (endsWhere() || token == Token.Close)) return Constant.Whole
  return isOddPair() ? Constant.Odd : Constant.None
}

function judgeOr(): Constant {
  if (isNullTest) return isNegated && left != 0 ? Constant.Always : Constant.None
  if (hasFalsehood && operators == 0) return isNegated ? Constant.Always : Constant.None
  if (operators == 0) return hasCall ? Constant.Odd : Constant.Always
  // 1 = 0, by which builders say `nothing`.
  if (isPlain && isSmall(left) && isSmall(right) && !isSame()) return Constant.None
  // '' = 'x': a value that was set in for a parameter.
  if (isPlain && !isNumber(left) && isEqualSign() && !isSame()) return Constant.None
  return hasCall ? Constant.Odd : Constant.Always
}

/** True behind the parentheses around all of a WHERE that holds for every row. */
let isClosing: bool = false

function endsWhere(): bool {
  return token == Token.End || token == Token.Semicolon || word == Word.Returning
}

/** Two numbers that nobody compares: 5821 = 5821, or 5821 = 5822. */
function isOddPair(): bool {
  if (!isPlain || operators != 1) return false
  if (!isNumber(left) || !isNumber(right)) return false
  return !isSmall(left) || !isSmall(right)
}

function judgeOther(isItself: bool): Constant {
  if (isItself) return Constant.Odd
  if (isOddPair()) return lead == Word.And || lead == Word.When ? Constant.Always : Constant.Odd
  if (!isPlain || operators != 1 || !isEqualSign()) return Constant.None
  if (isNumber(left) || left == 0 || !isSame()) return Constant.None
  // Two texts that are the same; in parentheses it may be a value set in for a parameter.
  return opened == 0 && lead == Word.And ? Constant.Always : Constant.Odd
}
