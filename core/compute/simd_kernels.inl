// The kernels on vectors of kBytes bytes. Included by one file per instruction set, which defines before it, in an unnamed
// namespace: Vector, Bits and Pairs, multiply_add, load_half, multiply_pairs and settle, may_touch (whether all bytes before an
// address can be read), and of the set
//   kName, kBytes                its name, and the bytes of a vector
//   kTileRows, kTileVectors      rows and vectors of a tile of a product: what the registers hold
//   kActivated                   vectors that an activation takes together: its polynomials are chains of dependent steps
//   kPanel, kDepth               columns of a panel of weights, inputs that are multiplied by it at a time
//   kFewRows, kFewDepth          rows that are few, and kDepth for them; see walk_panels
//   kRows, kColumns              most rows and columns of a product
//   kFetchEvery, kFetchLeast     before how many inputs to fetch weights ahead (0: never), and how many bytes at least;
//                                several inputs a step, as work on addresses takes the places of products
//   kFetchLines, kFetchLevel     how many lines at most, and into which cache, as of __builtin_prefetch
//   kTouch                       where no instruction fetches ahead: after how many bytes to read a byte of the weights that
//                                come next, once for each input (0: never)
//   kRowByRow                    whether a tile steps from row to row of its second operand: for compilers that otherwise
//                                multiply the number of the row each time
//   kOwnF32, kOwnInt8            whether its f32 and its int8 product are better than XNNPACK's
// Only plain loops and built-in types here: a template of the standard library instantiated in this file would be compiled
// for this instruction set and could then be linked into code for every machine.

constexpr std::size_t kWidth = kBytes / sizeof(float);

// What need not stand at each place that uses it: WebAssembly is downloaded, elsewhere only speed counts.
#if defined(__wasm__)
#define BERT_SHARED __attribute__((noinline))
#else
#define BERT_SHARED inline __attribute__((always_inline))
#endif

/// `value` in all lanes. Subtracting 0 leaves every value as it is, so that compilers make one load of it; adding 0 is an
/// addition, for it turns -0 into 0.
inline Vector splat(float value) { return value - Vector{}; }
inline Vector load(const void* source) {
  Vector value;
  __builtin_memcpy(&value, source, sizeof(value));
  return value;
}
inline void store(float* target, Vector value) { __builtin_memcpy(target, &value, sizeof(value)); }
BERT_SHARED Vector load_few(const float* source, std::size_t count) {
  Vector value{};
  __builtin_memcpy(&value, source, count * sizeof(float));
  return value;
}
BERT_SHARED void store_few(float* target, Vector value, std::size_t count) {
  __builtin_memcpy(target, &value, count * sizeof(float));
}
/// `count` floats and zeros; as fast as load where it is a whole vector.
inline Vector load_part(const float* source, std::size_t count) {
  return count == kWidth ? load(source) : load_few(source, count);
}
inline void store_part(float* target, Vector value, std::size_t count) {
  if (count == kWidth) return store(target, value);
  store_few(target, value, count);
}
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline Bits as_bits(Vector value) { return reinterpret_cast<Bits>(value); }
inline Vector as_floats(Bits bits) { return reinterpret_cast<Vector>(bits); }
inline Vector absolute(Vector value) { return as_floats(as_bits(value) & 0x7fffffff); }

inline float sum_of(Vector value) {
  float lanes[kWidth];
  __builtin_memcpy(lanes, &value, sizeof(value));
  for (std::size_t half = kWidth / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline float largest_of(Vector value) {
  float lanes[kWidth];
  __builtin_memcpy(lanes, &value, sizeof(value));
  for (std::size_t half = kWidth / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  return lanes[0];
}
inline float load_float(const std::byte* source) {
  float value;
  __builtin_memcpy(&value, source, sizeof(value));
  return value;
}

// -- Elementary functions ------------------------------------------------------------------------------------------

/// e^x for x <= 88, relative error below 1e-7 * (1 + |x|); 0 below -87.3; NaN for NaN.
inline Vector exponential(Vector x) {
  // e^x = 2^n 2^f: adding 1.5 * 2^23 rounds to the integer n and leaves it in the low bits
  constexpr float kLog2E = 1.44269504F;
  constexpr float kRound = 12582912.0F;
  const Vector clamped = larger(x, splat(-87.3F));
  const Vector shifted = multiply_add(clamped, splat(kLog2E), splat(kRound));
  const Vector f = multiply_add(clamped, splat(kLog2E), splat(kRound) - shifted);
  // minimax of 2^f on [-0.5, 0.5], error 2e-9
  Vector p = splat(0.000154614447F);
  p = multiply_add(p, f, splat(0.001340042818F));
  p = multiply_add(p, f, splat(0.009618056679F));
  p = multiply_add(p, f, splat(0.05550327227F));
  p = multiply_add(p, f, splat(0.2402265092F));
  p = multiply_add(p, f, splat(0.6931472067F));
  p = multiply_add(p, f, splat(1.0F));
  const Vector scaled = as_floats(as_bits(p) + (as_bits(shifted) << 23));
  const Vector other = x < splat(-87.3F) ? Vector{} : x;
  return x >= splat(-87.3F) ? scaled : other;
}

/// tanh, absolute error below 2e-7; NaN for NaN.
inline Vector hyperbolic_tangent(Vector x) {
  const Vector size = absolute(x);
  const Vector square = x * x;
  // near 0: x + x^3 q(x^2), minimax on [0, 0.625^2]
  Vector q = splat(-0.006096714166F);
  q = multiply_add(q, square, splat(0.020997179F));
  q = multiply_add(q, square, splat(-0.05385090958F));
  q = multiply_add(q, square, splat(0.1333276974F));
  q = multiply_add(q, square, splat(-0.3333332894F));
  const Vector near = multiply_add(x * square, q, x);
  const Vector doubled = smaller(size + size, splat(40.0F));
  const Vector far = splat(1.0F) - splat(2.0F) / (exponential(doubled) + splat(1.0F));
  const Vector signed_far = as_floats(as_bits(far) | (as_bits(x) & static_cast<std::int32_t>(0x80000000U)));
  return size >= splat(0.625F) ? signed_far : near;
}

/// x Phi(x) = x / 2 (1 + erf(x / sqrt 2)), absolute error below 1e-6, relative error below 2e-7 for x > 0.
inline Vector gelu(Vector x) {
  const Vector clamped = smaller(larger(x, splat(-5.65F)), splat(5.65F));
  // erf(z) = z p(s) with s = z^2 / 8 - 1 = x^2 / 16 - 1: minimax of degree 15 for |z| <= 4, error 2.8e-8
  const Vector s = multiply_add(clamped * clamped, splat(0.0625F), splat(-1.0F));
  constexpr float kCoefficients[] = {-0.001311137884F, 0.002996226511F, -0.001307657968F, 0.00172184467F,
                                     -0.009740832598F, 0.01715935743F,  -0.02192523332F,  0.03169913364F,
                                     -0.04590729043F,  0.06024049967F,  -0.07470989577F,  0.09016426084F,
                                     -0.1077113031F,   0.1316772602F,   -0.1765762266F,   0.3535309789F};
  Vector p = splat(kCoefficients[0]);
  for (std::size_t i = 1; i < 16; ++i) p = multiply_add(p, s, splat(kCoefficients[i]));
  const Vector error = clamped * p * splat(0.70710678118F);
  const Vector half = x * splat(0.5F);
  return x < splat(-5.5F) ? Vector{} : multiply_add(half, error, half);
}

inline Vector gelu_new(Vector x) {
  const Vector inner = multiply_add(x * x * x, splat(0.044715F), x) * splat(0.7978845608F);
  const Vector half = x * splat(0.5F);
  return multiply_add(half, hyperbolic_tangent(inner), half);
}

template <Vector (*function)(Vector)>
void apply(float* values, std::size_t count) {
  constexpr std::size_t kTogether = kActivated * kWidth;
  for (std::size_t i = 0; i < count; i += kTogether) {
    const std::size_t left = count - i;
    float part[kTogether] = {};
    float* const target = left < kTogether ? part : values + i;
    if (left < kTogether) __builtin_memcpy(part, values + i, left * sizeof(float));
    Vector x[kActivated];
    for (std::size_t j = 0; j < kActivated; ++j) x[j] = function(load(target + j * kWidth));
    for (std::size_t j = 0; j < kActivated; ++j) store(target + j * kWidth, x[j]);
    if (left < kTogether) __builtin_memcpy(values + i, part, left * sizeof(float));
  }
}

inline Vector rectified(Vector x) { return x < Vector{} ? Vector{} : x; }

template <Vector (*function)(Vector)>
void apply_rows(float* values, std::size_t stride, std::size_t rows, std::size_t columns) {
  for (std::size_t r = 0; r < rows; ++r) apply<function>(values + r * stride, columns);
}

void activate_rows(Activation activation, float* values, std::size_t stride, std::size_t rows, std::size_t columns) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGelu:
      return apply_rows<gelu>(values, stride, rows, columns);
    case Activation::kGeluNew:
      return apply_rows<gelu_new>(values, stride, rows, columns);
    case Activation::kRelu:
      return apply_rows<rectified>(values, stride, rows, columns);
    case Activation::kTanh:
      return apply_rows<hyperbolic_tangent>(values, stride, rows, columns);
  }
}

// -- Layer norm ------------------------------------------------------------------------------------------------

void normalise(const float* input, const float* residual, const float* gamma, const float* beta, float epsilon,
               std::size_t count, float* output) {
  const std::size_t whole = count / kWidth * kWidth;
  const std::size_t rest = count - whole;
  Vector sum{};
  for (std::size_t i = 0; i < whole; i += kWidth) {
    Vector x = load(input + i);
    if (residual != nullptr) x += load(residual + i);
    store(output + i, x);
    sum += x;
  }
  if (rest != 0) {
    Vector x = load_part(input + whole, rest);
    if (residual != nullptr) x += load_part(residual + whole, rest);
    store_part(output + whole, x, rest);
    sum += x;
  }
  const float size = static_cast<float>(count);
  const float mean = sum_of(sum) / size;
  const Vector means = splat(mean);
  Vector squares{};
  for (std::size_t i = 0; i < whole; i += kWidth) {
    const Vector d = load(output + i) - means;
    squares = multiply_add(d, d, squares);
  }
  float variance = sum_of(squares);
  for (std::size_t i = whole; i < count; ++i) variance += (output[i] - mean) * (output[i] - mean);
  const float factor = 1.0F / __builtin_sqrtf(variance / size + epsilon);
  const Vector factors = splat(factor);
  for (std::size_t i = 0; i < whole; i += kWidth)
    store(output + i, multiply_add((load(output + i) - means) * factors, load(gamma + i), load(beta + i)));
  for (std::size_t i = whole; i < count; ++i) output[i] = (output[i] - mean) * factor * gamma[i] + beta[i];
}

// -- Matrix product on row-major operands ------------------------------------------------------------------------

/// What comes into the cache while a product runs: `step` bytes, kFetchLines at most, before every kFetchEvery inputs, or
/// every kTouch-th byte. Any address will do for a fetch, which never faults, but none beyond the memory for a touch. With a
/// step of 0 nothing new comes.
struct Fetch {
  const std::byte* at;
  std::size_t step;
};

/// Sums that are computed in several parts, from input to input as in one: where they stand in between, [rows, kPanel] floats,
/// whether they are resumed from there, and whether they are left there. Without parts neither is.
struct Chain {
  float* sums = nullptr;
  bool resumed = false, left = false;
};

/// Has a tile of an output come into the cache.
template <std::size_t rows, std::size_t vectors>
void fetch_tile(const float* c, std::size_t stride) {
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < vectors; j += 64 / kBytes) __builtin_prefetch(c + i * stride + j * kWidth, 1);
}

/// add(k) for k of 0..depth.
template <class Add>
void for_each_input(std::size_t depth, Fetch& fetch, const Add& add) {
  std::size_t k = 0;
  if constexpr (kFetchEvery != 0) {
    const std::byte* ahead = fetch.at;
    const std::size_t step = fetch.step, part = step / kFetchLines;
    for (; k + kFetchEvery <= depth; k += kFetchEvery, ahead += step) {
      for (std::size_t i = 0; i < kFetchLines; ++i) __builtin_prefetch(ahead + i * part, 0, kFetchLevel);
      for (std::size_t i = 0; i < kFetchEvery; ++i) add(k + i);
    }
    fetch.at = ahead;
  }
  for (; k < depth; ++k) add(k);
}

/// c[rows, vectors * kWidth] = a[rows, depth] b[depth, ...] + plus[rows, ...], or without `plus` if that is null; `plus` may
/// be c.
///
/// Two things here are for engines of WebAssembly, which otherwise keep sums in memory while the loop runs. Nothing is called,
/// not even behind the loop (SpiderMonkey). Sums are stored from the last to the first: V8 orders the multiplications of a loop
/// the other way round than what uses them behind it, so that a factor is used up before the next is read.
template <std::size_t rows, std::size_t vectors, bool touches = false>
void tile(const float* a, std::size_t a_stride, const float* b, std::size_t b_stride, std::size_t depth, float* c,
          std::size_t c_stride, const float* plus, std::size_t plus_stride, Fetch& fetch, Chain chain) {
  if constexpr (kFetchEvery != 0) fetch_tile<rows, vectors>(c, c_stride);
  Vector sums[rows][vectors] = {};
  if (kFewRows != 0 && chain.resumed)
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < vectors; ++j) sums[i][j] = load(chain.sums + i * kPanel + j * kWidth);
  const float* next = b;
  const std::byte* ahead = fetch.at;
  const auto add = [&](std::size_t k) {
    const float* const row = kRowByRow ? next : b + k * b_stride;
    next += b_stride;
    Vector columns[vectors];
    for (std::size_t j = 0; j < vectors; ++j) columns[j] = load(row + j * kWidth);
    if constexpr (touches) {
      (void)*static_cast<const volatile std::byte*>(ahead);
      ahead += kTouch;
    }
    for (std::size_t i = 0; i < rows; ++i) {
      const Vector factor = splat(a[i * a_stride + k]);
      for (std::size_t j = 0; j < vectors; ++j) sums[i][j] = multiply_add(factor, columns[j], sums[i][j]);
      for (std::size_t j = 0; j < vectors; ++j) settle(sums[i][j]);
    }
  };
  for_each_input(depth, fetch, add);
  if constexpr (touches) fetch.at = ahead;
  if (kFewRows != 0 && chain.left) {
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < vectors; ++j) store(chain.sums + i * kPanel + j * kWidth, sums[i][j]);
    return;
  }
  for (std::size_t i = rows; i-- > 0;)
    for (std::size_t j = vectors; j-- > 0;) {
      if (plus != nullptr) sums[i][j] += load(plus + i * plus_stride + j * kWidth);
      store(c + i * c_stride + j * kWidth, sums[i][j]);
    }
}

using Tile = void (*)(const float*, std::size_t, const float*, std::size_t, std::size_t, float*, std::size_t, const float*,
                      std::size_t, Fetch&, Chain);

template <std::size_t rows>
Tile tile_of(std::size_t vectors, [[maybe_unused]] bool touches) {
  if constexpr (kTouch != 0 && rows >= 4)  // with fewer, memory is what takes the time anyway
    if (touches && vectors == kTileVectors) return tile<rows, kTileVectors, true>;
  if constexpr (kTileVectors >= 4) {
    if (vectors == 4) return tile<rows, 4>;
    if (vectors == 3) return tile<rows, 3>;
  }
  return vectors == 2 ? tile<rows, 2> : tile<rows, 1>;
}

Tile tile_of(std::size_t rows, std::size_t vectors, bool touches) {
  if constexpr (kTileRows >= 6) {
    if (rows == 6) return tile_of<6>(vectors, touches);
    if (rows == 5) return tile_of<5>(vectors, touches);
  }
  return rows == 4   ? tile_of<4>(vectors, touches)
         : rows == 3 ? tile_of<3>(vectors, touches)
         : rows == 2 ? tile_of<2>(vectors, touches)
                     : tile_of<1>(vectors, touches);
}

/// At most kTileRows rows of a product with any number of columns; see tile. Of b whole vectors must be readable.
void product_rows(std::size_t rows, const float* a, std::size_t a_stride, const float* b, std::size_t b_stride,
                  std::size_t depth, std::size_t columns, float* c, std::size_t c_stride, const float* plus,
                  std::size_t plus_stride, Fetch& fetch, Chain chain = {}) {
  constexpr std::size_t kTileColumns = kTileVectors * kWidth;
  for (std::size_t j = 0; j < columns; j += kTileColumns) {
    const std::size_t some = columns - j < kTileColumns ? columns - j : kTileColumns;
    const std::size_t vectors = (some + kWidth - 1) / kWidth;
    const Tile tile = tile_of(rows, vectors, fetch.step != 0);
    const Chain part{chain.sums == nullptr ? nullptr : chain.sums + j, chain.resumed, chain.left};
    const float* const plus_j = plus == nullptr ? nullptr : plus + j;
    if (some % kWidth == 0) {
      tile(a, a_stride, b + j, b_stride, depth, c + j, c_stride, plus_j, plus_stride, fetch, part);
      continue;
    }
    float whole[kTileRows * kTileColumns] = {};
    for (std::size_t i = 0; plus != nullptr && i < rows; ++i)
      __builtin_memcpy(whole + i * kTileColumns, plus_j + i * plus_stride, some * sizeof(float));
    tile(a, a_stride, b + j, b_stride, depth, whole, kTileColumns, whole, kTileColumns, fetch, part);
    for (std::size_t i = 0; !part.left && i < rows; ++i)
      __builtin_memcpy(c + j + i * c_stride, whole + i * kTileColumns, some * sizeof(float));
  }
}

/// `count` rows in tiles of nearly equal height: a last one of a row or two would keep the arithmetic waiting.
struct RowTiles {
  std::size_t count, most = kTileRows, tiles = (count + most - 1) / most;
  std::size_t height(std::size_t tile) const { return count / tiles + (tile < count % tiles ? 1 : 0); }
};

// -- Attention ---------------------------------------------------------------------------------------------------

/// target[columns, rows] = source[rows, columns], four by four.
void transpose(const float* source, std::size_t source_stride, std::size_t rows, std::size_t columns, float* target,
               std::size_t target_stride) {
  using Four = float __attribute__((vector_size(16)));
  const std::size_t whole_rows = rows / 4 * 4;
  const std::size_t whole_columns = columns / 4 * 4;
  for (std::size_t r = 0; r < whole_rows; r += 4)
    for (std::size_t c = 0; c < whole_columns; c += 4) {
      Four x[4];
      for (std::size_t i = 0; i < 4; ++i)
        __builtin_memcpy(&x[i], source + (r + i) * source_stride + c, sizeof(x[i]));
      const Four low[2] = {__builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5)};
      const Four high[2] = {__builtin_shufflevector(x[0], x[1], 2, 6, 3, 7),
                            __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7)};
      x[0] = __builtin_shufflevector(low[0], low[1], 0, 1, 4, 5);
      x[1] = __builtin_shufflevector(low[0], low[1], 2, 3, 6, 7);
      x[2] = __builtin_shufflevector(high[0], high[1], 0, 1, 4, 5);
      x[3] = __builtin_shufflevector(high[0], high[1], 2, 3, 6, 7);
      for (std::size_t i = 0; i < 4; ++i) __builtin_memcpy(target + (c + i) * target_stride + r, &x[i], sizeof(x[i]));
    }
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      target[c * target_stride + r] = source[r * source_stride + c];
}

void attend(const AttentionHead& head) {
  const std::size_t keys = head.keys;
  const std::size_t padded = (keys + kPadding - 1) / kPadding * kPadding;
  // rows that lie a power of two apart would share few places of the cache
  const std::size_t stride = padded + kPadding;
  float* transposed = head.scratch;                      // [head_size, stride]
  float* hidden = transposed + head.head_size * stride;  // [padded]: 0 for a visible key, -infinity for the others
  float* block = hidden + padded;                        // [kTileRows, padded]

  transpose(head.key, head.key_stride, keys, head.head_size, transposed, stride);
  for (std::size_t d = 0; d < head.head_size; ++d)
    for (std::size_t j = keys; j < padded; ++j) transposed[d * stride + j] = 0;

  const float kNever = -__builtin_inff();
  bool any = false;
  for (std::size_t j = 0; j < keys; ++j) {
    const bool visible = head.visible == nullptr || head.visible[j] != 0;
    any = any || visible;
    hidden[j] = visible ? 0.0F : kNever;
  }
  for (std::size_t j = keys; j < padded; ++j) hidden[j] = kNever;
  float scale = head.scale;
  if (!any) {
    // every key hidden: all scores count as equal
    scale = 0;
    for (std::size_t j = 0; j < keys; ++j) hidden[j] = 0;
  }

  Fetch nothing{reinterpret_cast<const std::byte*>(transposed), 0};
  const RowTiles tiles{head.queries};
  for (std::size_t number = 0, i = 0; number < tiles.tiles; i += tiles.height(number++)) {
    const std::size_t rows = tiles.height(number);
    product_rows(rows, head.query + i * head.query_stride, head.query_stride, transposed, stride, head.head_size, padded,
                 block, padded, nullptr, 0, nothing);
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = block + r * padded;
      if (head.scores != nullptr) {
        float* scores = head.scores + (i + r) * keys;
        for (std::size_t j = 0; j < keys; ++j) scores[j] = row[j] * head.scale;
      }
      Vector largest = splat(kNever);
      for (std::size_t j = 0; j < padded; j += kWidth) {
        const Vector x = multiply_add(load(row + j), splat(scale), load(hidden + j));
        store(row + j, x);
        largest = larger(largest, x);
      }
      const Vector top = splat(largest_of(largest));
      Vector sum{};
      for (std::size_t j = 0; j < padded; j += kWidth) {
        const Vector x = exponential(load(row + j) - top);
        store(row + j, x);
        sum += x;
      }
      const Vector factor = splat(1.0F / sum_of(sum));
      for (std::size_t j = 0; j < padded; j += kWidth) store(row + j, load(row + j) * factor);
      if (head.probabilities != nullptr)
        __builtin_memcpy(head.probabilities + (i + r) * keys, row, keys * sizeof(float));
    }
    product_rows(rows, block, padded, head.value, head.value_stride, keys, head.head_size,
                 head.context + i * head.context_stride, head.context_stride, nullptr, 0, nothing);
  }
}

// -- Dot products with table rows --------------------------------------------------------------------------------

template <WeightType type>
struct Element;
template <>
struct Element<WeightType::kF32> {
  static constexpr std::size_t kSize = 4;
  static Vector read(const std::byte* source) { return load(source); }
};
template <>
struct Element<WeightType::kF16> {
  static constexpr std::size_t kSize = 2;
  static Vector read(const std::byte* source) { return load_half(source); }
};
template <>
struct Element<WeightType::kBF16> {
  static constexpr std::size_t kSize = 2;
  static Vector read(const std::byte* source) {
    std::uint16_t __attribute__((vector_size(kBytes / 2))) halves;
    __builtin_memcpy(&halves, source, sizeof(halves));
    return as_floats(__builtin_convertvector(halves, Bits) << 16);
  }
};
template <>
struct Element<WeightType::kInt8> {
  static constexpr std::size_t kSize = 1;
  static Vector read(const std::byte* source) {
    std::int8_t __attribute__((vector_size(kBytes / 4))) quarters;
    __builtin_memcpy(&quarters, source, sizeof(quarters));
    return __builtin_convertvector(quarters, Vector);
  }
};

/// The end of a tile of dot products [rows][width]: the columns behind the last whole vector, the sums of lanes, scale and bias.
template <WeightType type>
inline __attribute__((always_inline)) void finish_dots(const TableProduct& p, std::size_t t, std::size_t width,
                                                       std::size_t r, std::size_t rows, const Vector* sums) {
  using Read = Element<type>;
  const std::size_t whole = p.columns / kWidth * kWidth;
  const std::size_t rest = p.columns - whole;
  for (std::size_t j = 0; j < width; ++j) {
    Vector weights{};
    if (rest != 0) {
      std::byte part[kBytes] = {};
      __builtin_memcpy(part, p.table + ((t + j) * p.columns + whole) * Read::kSize, rest * Read::kSize);
      weights = Read::read(part);
    }
    const float scale = type == WeightType::kInt8 ? load_float(p.scales + (t + j) * sizeof(float)) : 1.0F;
    const float bias = p.bias == nullptr ? 0.0F : p.bias[t + j];
    for (std::size_t i = 0; i < rows; ++i) {
      Vector sum = sums[i * width + j];
      if (rest != 0) sum = multiply_add(load_part(p.input + (r + i) * p.input_stride + whole, rest), weights, sum);
      p.output[(r + i) * p.output_stride + t + j] = sum_of(sum) * scale + bias;
    }
  }
}

template <WeightType type>
BERT_SHARED void finish_rows(const TableProduct& p, std::size_t t, std::size_t width, std::size_t r, std::size_t rows,
                             const Vector* sums) {
  finish_dots<type>(p, t, width, r, rows, sums);
}

/// `rows` inputs times `width` consecutive table rows.
template <WeightType type, std::size_t rows, std::size_t width>
void dot_tile(const TableProduct& p, std::size_t t, std::size_t r) {
  using Read = Element<type>;
  const std::size_t whole = p.columns / kWidth * kWidth;
  const std::byte* table = p.table + t * p.columns * Read::kSize;
  const float* input = p.input + r * p.input_stride;
  Vector sums[rows][width] = {};
#pragma clang loop unroll_count(rows == 1 ? 2 : 1)
  for (std::size_t k = 0; k < whole; k += kWidth) {
    Vector weights[width];
    for (std::size_t j = 0; j < width; ++j) weights[j] = Read::read(table + (j * p.columns + k) * Read::kSize);
    for (std::size_t i = 0; i < rows; ++i) {
      const Vector x = load(input + i * p.input_stride + k);
      for (std::size_t j = 0; j < width; ++j) sums[i][j] = multiply_add(x, weights[j], sums[i][j]);
    }
  }
  if constexpr (rows == 1)  // where it takes a good part of the time
    finish_dots<type>(p, t, width, r, rows, sums[0]);
  else
    finish_rows<type>(p, t, width, r, rows, sums[0]);
}

template <WeightType type>
void dot_table(const TableProduct& p) {
  constexpr std::size_t kTogether = kBytes > 16 ? 4 : 2;
  std::size_t t = p.first;
  for (; t + kTogether <= p.last; t += kTogether) {
    std::size_t r = 0;
    for (; r + 4 <= p.rows; r += 4) dot_tile<type, 4, kTogether>(p, t, r);
    for (; r + 2 <= p.rows; r += 2) dot_tile<type, 2, kTogether>(p, t, r);
    if (r < p.rows) dot_tile<type, 1, kTogether>(p, t, r);
  }
  for (; t < p.last; ++t)
    for (std::size_t r = 0; r < p.rows; ++r) dot_tile<type, 1, 1>(p, t, r);
}

void table_product(const TableProduct& product) {
  switch (product.type) {
    case WeightType::kF32:
      return dot_table<WeightType::kF32>(product);
    case WeightType::kF16:
      return dot_table<WeightType::kF16>(product);
    case WeightType::kBF16:
      return dot_table<WeightType::kBF16>(product);
    case WeightType::kInt8:
      return dot_table<WeightType::kInt8>(product);
  }
}

// -- Products with packed weights ----------------------------------------------------------------------------------

/// One block of a panel: its inputs (or pairs of them) [begin, begin + depth).
struct Block {
  const std::byte* weights;
  std::size_t begin, depth;
  bool first, last;             ///< begins and ends the sums of a panel; of parts, the block they are of, and the last part
  bool resumes, leaves;         ///< whether its sums go on from those of the block before, and go on in the next
  std::size_t column, columns;  ///< of the panel
};

/// Walks through neighbouring panels block by block: all rows pass through one before the next is read, which meanwhile
/// comes into the cache. Calls prepare(block) for each and then, tile by tile, work(block, row, rows, fetch). A panel has
/// `inputs` inputs (or pairs) of `input_bytes` bytes each; a block has at most `most` of them. Many rows take the first block
/// of every panel, then the second: their own inputs stay in the cache. Few rows wait for weights from memory, so they take
/// them in the order in which they lie there, in small blocks, which stay in the first-level cache for all tiles. Those are
/// parts of the blocks that many rows take, so that a row has the same sums however many are beside it.
template <std::size_t input_bytes, std::size_t most, class Prepare, class Work>
void walk_panels(const std::byte* panels, std::size_t inputs, std::size_t columns, std::size_t rows, const Prepare& prepare,
                 const Work& work) {
  constexpr std::size_t kRound = kFetchEvery == 0 ? 1 : kFetchEvery;
  static_assert(kPanelColumns % kPanel == 0 && most % kRound == 0);
  const auto parts = [](std::size_t size, std::size_t part) { return (size + part - 1) / part; };
  const bool in_order = rows <= kFewRows;
  const std::size_t deepest = parts(parts(inputs, parts(inputs, most)), kRound) * kRound;
  const std::size_t part = in_order && kFewDepth < deepest ? kFewDepth : deepest;
  const std::size_t parts_each = parts(deepest, part);  // of a block
  const std::size_t last_begin = (parts(inputs, deepest) - 1) * deepest;
  const std::size_t blocks = last_begin / deepest * parts_each + parts(inputs - last_begin, part);
  const std::size_t count = parts(columns, kPanel);
  const auto block_at = [&](std::size_t index) {
    const std::size_t number = in_order ? index % blocks : index / count;
    const std::size_t panel = in_order ? index / blocks : index % count;
    Block block{};
    const std::size_t whole = number / parts_each * deepest;  // where the block of many rows begins, and ends
    const std::size_t whole_end = inputs - whole < deepest ? inputs : whole + deepest;
    block.begin = whole + number % parts_each * part;
    block.depth = whole_end - block.begin < part ? whole_end - block.begin : part;
    block.weights = panels + (panel * inputs + block.begin) * input_bytes;
    block.resumes = block.begin != whole;
    block.leaves = block.begin + block.depth != whole_end;
    block.first = whole == 0;
    block.last = number + 1 == blocks;
    block.column = panel * kPanel;
    block.columns = columns - block.column < kPanel ? columns - block.column : kPanel;
    return block;
  };
  const RowTiles tiles{rows};
  const std::size_t spread = parts(kRound * input_bytes / tiles.tiles, 64) * 64;  // over all tiles
  constexpr std::size_t kFetchMost = 64 * kFetchLines;
  const std::size_t step = kTouch != 0            ? kTouch
                           : spread > kFetchMost  ? kFetchMost
                           : spread < kFetchLeast ? kFetchLeast
                                                  : spread;
  for (std::size_t index = 0; index < blocks * count; ++index) {
    const Block block = block_at(index);
    // behind the last block lies what is computed next, if anything does
    const Block next = index + 1 < blocks * count ? block_at(index + 1) : block;
    const std::byte* const from = index + 1 < blocks * count ? next.weights : block.weights + block.depth * input_bytes;
    const std::byte* const end = from + next.depth * input_bytes;
    prepare(block);
    Fetch fetch{from, step};
    if (kTouch != 0 && !may_touch(end + most * kTouch)) fetch = {block.weights, 0};
    for (std::size_t number = 0, row = 0; number < tiles.tiles; row += tiles.height(number++)) {
      if (fetch.at >= end) fetch = {block.weights, 0};
      work(block, row, tiles.height(number), fetch);
    }
  }
}

template <WeightType type>
void panel_product(const PanelProduct& p) {
  static_assert(kDepth * kPanel <= kPanelScratch && (kFewDepth + kFewRows) * kPanel <= kPanelScratch);
  constexpr bool kByTile = kPanel >= kActivated * kWidth;  // activations take whole tiles
  using Read = Element<type>;
  const float* weights = p.scratch;
  float* const chain = p.scratch + kFewDepth * kPanel;  // of few rows, whose blocks are that small
  const auto prepare = [&](const Block& block) {
    if constexpr (type == WeightType::kF32)
      weights = reinterpret_cast<const float*>(block.weights);
    else  // the conversion is shared by all rows
      for (std::size_t i = 0; i < block.depth * kPanel; i += kWidth)
        store(p.scratch + i, Read::read(block.weights + i * Read::kSize));
  };
  const auto work = [&](const Block& block, std::size_t row, std::size_t rows, Fetch& fetch) {
    float* const output = p.output + row * p.output_stride + block.column;
    product_rows(rows, p.input + row * p.input_stride + block.begin, p.input_stride, weights, kPanel, block.depth,
                 block.columns, output, p.output_stride, block.first ? p.bias + block.column : output,
                 block.first ? 0 : p.output_stride, fetch,
                 {chain + row * kPanel, block.resumes, block.leaves});
    if (kByTile && block.last) activate_rows(p.activation, output, p.output_stride, rows, block.columns);
  };
  walk_panels<kPanel * Read::kSize, kDepth>(p.panels, p.inputs, p.columns, p.rows, prepare, work);
  if (!kByTile) activate_rows(p.activation, p.output, p.output_stride, p.rows, p.columns);
}

void quantise(const float* row, std::size_t count, std::int16_t* target, float* scale) {
  const std::size_t whole = count / kWidth * kWidth;
  const std::size_t rest = count - whole;
  Vector low{}, high{}, wrong{};  // x - x is not 0 where x is not finite: all of such a row becomes NaN
  const auto look = [&](Vector x) {
    low = smaller(low, x);
    high = larger(high, x);
    wrong += x - x;
  };
  for (std::size_t i = 0; i < whole; i += kWidth) look(load(row + i));
  if (rest != 0) look(load_part(row + whole, rest));  // and the zeros behind the row
  const float step = (largest_of(high) + largest_of(-low)) / 255.0F + sum_of(wrong);
  constexpr float kLeastNormal = 1.17549435e-38F;
  const bool tiny = step < kLeastNormal;
  *scale = tiny ? 1.0F : step;
  const Vector factor = splat(tiny ? 0.0F : 1.0F / step);
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  using Steps = std::int16_t __attribute__((vector_size(kBytes / 2)));
  const auto steps_of = [factor](Vector x) {
    return __builtin_convertvector(as_bits(multiply_add(x, factor, splat(kRound))) - as_bits(splat(kRound)), Steps);
  };
  for (std::size_t i = 0; i < whole; i += kWidth) {
    const Steps steps = steps_of(load(row + i));
    __builtin_memcpy(target + i, &steps, sizeof(steps));
  }
  if (rest != 0) {
    const Steps steps = steps_of(load_part(row + whole, rest));
    __builtin_memcpy(target + whole, &steps, (rest + rest % 2) * sizeof(std::int16_t));
  }
}

/// Sums over one block for a tile of `rows` rows: whole numbers, which stand in the output until the last block.
template <std::size_t rows>
void int8_tile(const Int8Product& p, const Block& block, std::size_t row, Fetch& fetch) {
  constexpr std::size_t kTileColumns = kTileVectors * kWidth;
  const std::size_t a_stride = p.input_stride;
  const std::int16_t* const a = p.input + row * a_stride + 2 * block.begin;
  for (std::size_t first = 0; first < block.columns; first += kTileColumns) {
    const std::byte* const b = block.weights + 2 * first;
    float* const c = p.output + row * p.output_stride + block.column + first;
    const std::size_t columns = block.columns - first < kTileColumns ? block.columns - first : kTileColumns;
    if constexpr (kFetchEvery != 0) fetch_tile<rows, kTileVectors>(c, p.output_stride);
    Bits sums[rows][kTileVectors] = {};
    const auto add = [&](std::size_t k) {
      Pairs weights[kTileVectors];
      for (std::size_t j = 0; j < kTileVectors; ++j) {
        std::int8_t __attribute__((vector_size(kBytes / 2))) bytes;
        __builtin_memcpy(&bytes, b + k * 2 * kPanel + j * sizeof(bytes), sizeof(bytes));
        weights[j] = __builtin_convertvector(bytes, Pairs);
      }
      for (std::size_t i = 0; i < rows; ++i) {
        std::int32_t pair;
        __builtin_memcpy(&pair, a + i * a_stride + 2 * k, sizeof(pair));
        const Pairs factor = reinterpret_cast<Pairs>(pair - Bits{});
        for (std::size_t j = 0; j < kTileVectors; ++j) sums[i][j] += multiply_pairs(factor, weights[j]);
        for (std::size_t j = 0; j < kTileVectors; ++j) settle(sums[i][j]);
      }
    };
    for_each_input(block.depth, fetch, add);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < kTileVectors && j * kWidth < columns; ++j) {
        const std::size_t left = columns - j * kWidth;
        const std::size_t lanes = left < kWidth ? left : kWidth;
        float* const target = c + i * p.output_stride + j * kWidth;
        Bits sum = sums[i][j];
        if (!block.first) sum += as_bits(load_part(target, lanes));
        Vector result = as_floats(sum);
        if (block.last) {
          const std::size_t column = block.column + first + j * kWidth;
          const Vector scales = load_part(p.scales + column, lanes) * splat(p.input_scales[row + i]);
          result = multiply_add(__builtin_convertvector(sum, Vector), scales, load_part(p.bias + column, lanes));
        }
        store_part(target, result, lanes);
      }
    if (block.last) activate_rows(p.activation, c, p.output_stride, rows, columns);
  }
}

void int8_product(const Int8Product& p) {
  static_assert(!kOwnInt8 || kFewRows == 0, "its sums are not made in parts");
  const auto work = [&](const Block& block, std::size_t row, std::size_t rows, Fetch& fetch) {
    if constexpr (kTileRows >= 6) {
      if (rows == 6) return int8_tile<6>(p, block, row, fetch);
      if (rows == 5) return int8_tile<5>(p, block, row, fetch);
    }
    return rows == 4   ? int8_tile<4>(p, block, row, fetch)
           : rows == 3 ? int8_tile<3>(p, block, row, fetch)
           : rows == 2 ? int8_tile<2>(p, block, row, fetch)
                       : int8_tile<1>(p, block, row, fetch);
  };
  walk_panels<2 * kPanel, kDepth>(p.panels, p.pairs, p.columns, p.rows, [](const Block&) {}, work);
}

constexpr Kernels kKernels = {kName,
                              kPanel,
                              kRows,
                              kColumns,
                              activate_rows,
                              normalise,
                              attend,
                              table_product,
                              panel_product<WeightType::kF16>,
                              kOwnF32 ? panel_product<WeightType::kF32> : nullptr,
                              kOwnInt8 ? int8_product : nullptr,
                              kOwnInt8 ? quantise : nullptr};
