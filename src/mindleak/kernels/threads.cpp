// The kernels' own threads: MindSpore's pool cannot be reached from a custom operator.
#include "kernels.h"

namespace mindleak {
namespace {

// A call of parallel(); helpers that come late still hold it, and find nothing left to do.
struct Job {
  const std::function<void(int64_t)>* task;
  int64_t count;
  std::atomic<int64_t> next{0}, finished{0};

  void work() {
    for (int64_t index; (index = next.fetch_add(1)) < count;) {
      (*task)(index);
      finished.fetch_add(1);
    }
  }
};

// Threads that wait for jobs. They sleep while they wait: MindSpore's own threads want the cores.
class Helpers {
 public:
  void start(int count) {
    for (; started_ < count; ++started_) std::thread([this] { serve(); }).detach();
  }

  void announce(std::shared_ptr<Job> job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = std::move(job);
      ++announced_;
    }
    changed_.notify_all();
  }

  std::mutex& in_use() { return in_use_; }

 private:
  void serve() {
    uint64_t seen = 0;
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return announced_ != seen; });
        seen = announced_;
        job = job_;
      }
      job->work();
    }
  }

  std::mutex mutex_, in_use_;
  std::condition_variable changed_;
  std::shared_ptr<Job> job_;
  uint64_t announced_ = 0;
  int started_ = 0;
};

std::atomic<int> thread_count{1};
Helpers& helpers = *new Helpers;  // never destroyed: its threads run until the process ends

}  // namespace

int threads() { return thread_count; }

void parallel(int64_t count, const std::function<void(int64_t)>& task) {
  // MindSpore may run two operators at once; the second does its work alone.
  std::unique_lock<std::mutex> lock(helpers.in_use(), std::defer_lock);
  if (count < 2 || threads() < 2 || !lock.try_lock()) {
    for (int64_t index = 0; index < count; ++index) task(index);
    return;
  }
  helpers.start(threads() - 1);
  const auto job = std::make_shared<Job>();
  job->task = &task;
  job->count = count;
  helpers.announce(job);
  job->work();
  while (job->finished < count) std::this_thread::yield();
}

}  // namespace mindleak

// How many floats a vector has: operators' output shapes depend on it.
extern "C" int mindleak_lanes() { return mindleak::kLanes; }

extern "C" void mindleak_set_threads(int count) { mindleak::thread_count = count > 1 ? count : 1; }
