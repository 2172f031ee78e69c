"""Writes a SavedModel of TensorFlow with fixed weights: `saved_model.py FOLDER`.

Signatures: serving_default (x: four numbers, to three probabilities), pair (a and b, to their sum and product), and
classify and regress over serialised tf.train.Example with a feature `x` of four numbers.
"""

import sys

import tensorflow as tf

tf.random.set_seed(1)
ROWS = tf.TensorSpec((None, 4), tf.float32, name="x")
COLUMN = tf.TensorSpec((None,), tf.float32)
EXAMPLES = tf.TensorSpec((None,), tf.string, name="examples")
FEATURES = {"x": tf.io.FixedLenFeature((4,), tf.float32)}


class Net(tf.Module):
    def __init__(self):
        self.first = tf.Variable(tf.random.normal((4, 16)))
        self.second = tf.Variable(tf.random.normal((16, 3)))
        self.labels = tf.constant(["setosa", "versicolor", "virginica"])

    def scores(self, x):
        return tf.nn.softmax(tf.nn.relu(x @ self.first) @ self.second)

    @tf.function(input_signature=[ROWS])
    def predict(self, x):
        return {"probabilities": self.scores(x)}

    @tf.function(input_signature=[COLUMN, COLUMN])
    def pair(self, a, b):
        return {"sum": a + b, "product": a * b}

    @tf.function(input_signature=[EXAMPLES])
    def classify(self, examples):
        scores = self.scores(tf.io.parse_example(examples, FEATURES)["x"])
        return {"scores": scores, "classes": tf.tile(self.labels[None, :], [tf.shape(scores)[0], 1])}

    @tf.function(input_signature=[EXAMPLES])
    def regress(self, examples):
        return {"outputs": tf.reduce_sum(tf.io.parse_example(examples, FEATURES)["x"], axis=1)}


net = Net()
signatures = {"serving_default": net.predict, "pair": net.pair, "classify": net.classify, "regress": net.regress}
tf.saved_model.save(net, sys.argv[1], signatures=signatures)
