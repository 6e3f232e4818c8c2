// SPDX-License-Identifier: MIT
//
// The benchmark's configurations A to E with the LSTM primitives of oneDNN 2.x or 3.x, float32: one training step's
// forward and backward of the recurrent layers, with the weights put into the primitives' own layout each step, as an
// optimizer that changes them makes necessary. Bare: no embedding, head, loss, clipping or optimizer, so it does less
// than the engine. One primitive for each layer (oneDNN wants equal widths within one).
//
//     c++ -O2 -fopenmp onednn.cpp -o onednn -ldnnl
//     onednn A-E THREADS [--seconds S]        prints one line of JSON: the median of all steps of S seconds
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

using dnnl::memory;
using tag = memory::format_tag;
using arguments = std::unordered_map<int, memory>;

struct Config {
    char name;
    int hidden, batch, steps, layers, input;
};

static const Config configs[] = {
    {'A', 1000, 1, 28, 1, 65}, {'B', 128, 50, 50, 2, 65}, {'C', 512, 64, 128, 2, 64}, {'D', 1024, 128, 64, 1, 65},
    {'E', 64, 16, 200, 1, 65},
};

static double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static memory::desc floats(const memory::dims &dims, tag format)
{
    return memory::desc(dims, memory::data_type::f32, format);
}

// Small numbers of both signs everywhere: nothing denormal, nothing saturated.
static memory filled(const memory::desc &desc, const dnnl::engine &engine)
{
    memory m(desc, engine);
    float *p = static_cast<float *>(m.get_data_handle());
    for (size_t i = 0; i < desc.get_size() / sizeof *p; i++)
        p[i] = 0.01f * static_cast<float>(static_cast<int>(i * 7919 % 13) - 6);
    return m;
}

struct Shapes {
    memory::desc src, state, weights_layer, weights_iter, bias, dst, user_layer, user_iter;

    Shapes(const Config &c, int input)
        : src(floats({c.steps, c.batch, input}, tag::tnc)), state(floats({1, 1, c.batch, c.hidden}, tag::ldnc)),
          weights_layer(floats({1, 1, input, 4, c.hidden}, tag::any)),
          weights_iter(floats({1, 1, c.hidden, 4, c.hidden}, tag::any)),
          bias(floats({1, 1, 4, c.hidden}, tag::ldgo)), dst(floats({c.steps, c.batch, c.hidden}, tag::tnc)),
          user_layer(floats({1, 1, input, 4, c.hidden}, tag::ldigo)),
          user_iter(floats({1, 1, c.hidden, 4, c.hidden}, tag::ldigo))
    {
    }
};

static const auto direction = dnnl::rnn_direction::unidirectional_left2right;

static dnnl::lstm_forward::primitive_desc plan_forward(const Shapes &s, const dnnl::engine &engine)
{
    const auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
    return {engine, kind,    direction, s.src, s.state, s.state, s.weights_layer, s.weights_iter,
            s.bias, s.dst,   s.state,   s.state};
#else
    return {{kind, direction, s.src, s.state, s.state, s.weights_layer, s.weights_iter, s.bias, s.dst, s.state,
             s.state},
            engine};
#endif
}

static dnnl::lstm_backward::primitive_desc plan_backward(const Shapes &s, const dnnl::engine &engine,
                                                         const dnnl::lstm_forward::primitive_desc &forward)
{
    const auto kind = dnnl::prop_kind::backward;
#if DNNL_VERSION_MAJOR >= 3
    return {engine,  kind,    direction, s.src,           s.state,        s.state, s.weights_layer, s.weights_iter,
            s.bias,  s.dst,   s.state,   s.state,         s.src,          s.state, s.state,         s.weights_layer,
            s.weights_iter,   s.bias,    s.dst,           s.state,        s.state, forward};
#else
    return {{kind, direction, s.src, s.state, s.state, s.weights_layer, s.weights_iter, s.bias, s.dst, s.state,
             s.state, s.src, s.state, s.state, s.weights_layer, s.weights_iter, s.bias, s.dst, s.state, s.state},
            engine,
            forward};
#endif
}

class Layer {
public:
    Layer(const Config &c, int input, const dnnl::engine &engine)
    {
        const Shapes s(c, input);
        const auto fd = plan_forward(s, engine);
        const auto bd = plan_backward(s, engine, fd);
        const auto make = [&](const memory::desc &d) { return filled(d, engine); };

        forward_ = dnnl::lstm_forward(fd);
        backward_ = dnnl::lstm_backward(bd);
        fa_ = {{DNNL_ARG_SRC_LAYER, make(s.src)},
               {DNNL_ARG_SRC_ITER, make(s.state)},
               {DNNL_ARG_SRC_ITER_C, make(s.state)},
               {DNNL_ARG_WEIGHTS_LAYER, make(fd.weights_layer_desc())},
               {DNNL_ARG_WEIGHTS_ITER, make(fd.weights_iter_desc())},
               {DNNL_ARG_BIAS, make(s.bias)},
               {DNNL_ARG_DST_LAYER, make(s.dst)},
               {DNNL_ARG_DST_ITER, make(s.state)},
               {DNNL_ARG_DST_ITER_C, make(s.state)},
               {DNNL_ARG_WORKSPACE, make(fd.workspace_desc())}};
        ba_ = fa_;
        ba_[DNNL_ARG_WEIGHTS_LAYER] = make(bd.weights_layer_desc());
        ba_[DNNL_ARG_WEIGHTS_ITER] = make(bd.weights_iter_desc());
        ba_[DNNL_ARG_DIFF_SRC_LAYER] = make(s.src);
        ba_[DNNL_ARG_DIFF_SRC_ITER] = make(s.state);
        ba_[DNNL_ARG_DIFF_SRC_ITER_C] = make(s.state);
        ba_[DNNL_ARG_DIFF_WEIGHTS_LAYER] = make(bd.diff_weights_layer_desc());
        ba_[DNNL_ARG_DIFF_WEIGHTS_ITER] = make(bd.diff_weights_iter_desc());
        ba_[DNNL_ARG_DIFF_BIAS] = make(s.bias);
        ba_[DNNL_ARG_DIFF_DST_LAYER] = make(s.dst);
        ba_[DNNL_ARG_DIFF_DST_ITER] = make(s.state);
        ba_[DNNL_ARG_DIFF_DST_ITER_C] = make(s.state);
        for (const arguments *a : {&fa_, &ba_}) {
            add_repack(make(s.user_layer), a->at(DNNL_ARG_WEIGHTS_LAYER));
            add_repack(make(s.user_iter), a->at(DNNL_ARG_WEIGHTS_ITER));
        }
    }

    void forward(dnnl::stream &stream)
    {
        for (auto &r : repacks_)
            r.primitive.execute(stream, r.from, r.to);
        forward_.execute(stream, fa_);
    }

    void backward(dnnl::stream &stream)
    {
        for (int gradient : {DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER}) { // it adds to them
            memory &m = ba_.at(gradient);
            std::memset(m.get_data_handle(), 0, m.get_desc().get_size());
        }
        backward_.execute(stream, ba_);
    }

private:
    struct Repack {
        dnnl::reorder primitive;
        memory from, to;
    };

    void add_repack(const memory &from, const memory &to) { repacks_.push_back({dnnl::reorder(from, to), from, to}); }

    dnnl::lstm_forward forward_;
    dnnl::lstm_backward backward_;
    arguments fa_, ba_;
    std::vector<Repack> repacks_;
};

static std::vector<double> times_of(const Config &c, double seconds)
{
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    std::vector<Layer> layers;
    std::vector<double> times;

    for (int l = 0; l < c.layers; l++)
        layers.emplace_back(c, l ? c.hidden : c.input, engine);
    for (double start = now(); times.size() < 4 || now() - start < seconds;) {
        const double before = now();
        for (auto l = layers.begin(); l != layers.end(); ++l)
            l->forward(stream);
        for (auto l = layers.rbegin(); l != layers.rend(); ++l)
            l->backward(stream);
        stream.wait();
        times.push_back(now() - before);
    }
    times.erase(times.begin(), times.begin() + 2);
    std::sort(times.begin(), times.end());
    return times;
}

int main(int argc, char **argv)
{
    const double seconds = argc == 5 && !std::strcmp(argv[3], "--seconds") ? std::atof(argv[4]) : 1;
    const int threads = argc >= 3 ? std::atoi(argv[2]) : 0;
    const auto end = std::end(configs);
    const auto c = std::find_if(std::begin(configs), end,
                                [&](const Config &k) { return argc >= 3 && argv[1][0] == k.name; });

    if (c == end || threads < 1) {
        std::fprintf(stderr, "usage: onednn A|B|C|D|E THREADS [--seconds S]\n");
        return 2;
    }
    omp_set_num_threads(threads);
    try {
        const std::vector<double> t = times_of(*c, seconds);
        const double median = t[t.size() / 2];
        const dnnl_version_t *v = dnnl_version();
        std::printf("{\"peer\": \"oneDNN %d.%d.%d\", \"config\": \"%c\", \"threads\": %d, \"tokens_per_second\": %.6g, "
                    "\"ms\": %.6g, \"ms_best\": %.6g, \"repetitions\": %zu}\n",
                    v->major, v->minor, v->patch, c->name, threads, c->batch * c->steps / median, 1e3 * median,
                    1e3 * t[0], t.size());
    } catch (const std::exception &e) {
        std::fprintf(stderr, "onednn: %s\n", e.what());
        return 1;
    }
    return 0;
}
